/* SPDX-License-Identifier: MIT */
/*
 * Addresses of the simulated net. Node n is 10.0.0.N and fd00::N, N being n + 1; each node
 * has a loopback of its own (127.x, ::1) and a name space of unix sockets of its own.
 * Names are held by listeners only, and free again when they close.
 */
#include "io/sim_internal.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NET_BASE 0x0a000000u /* 10.0.0.0 */
#define NET_MASK 0xffffff00u

static uint32_t node_ip(unsigned node)
{
	return NET_BASE + node + 1;
}

static bool is_loopback(uint32_t ip)
{
	return ip >> 24 == 127;
}

/* fd00::N is the node at 10.0.0.N. */
static void node_in6(uint32_t ip, struct in6_addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->s6_addr[0] = 0xfd;
	addr->s6_addr[15] = (uint8_t)ip;
}

static int parse_in6(struct sim_name *name, const struct sockaddr_in6 *in6)
{
	struct in6_addr node;

	name->port = ntohs(in6->sin6_port);
	name->ip = NET_BASE | in6->sin6_addr.s6_addr[15];
	node_in6(name->ip, &node);
	if (IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr))
		name->ip = INADDR_LOOPBACK;
	else if (IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
		name->ip = INADDR_ANY;
	else if (memcmp(&node, &in6->sin6_addr, sizeof(node)) != 0)
		return -ENETUNREACH;
	return 0;
}

static int parse_un(struct sim_name *name, const struct io_addr *addr)
{
	size_t head = offsetof(struct sockaddr_un, sun_path);
	const char *nul;
	size_t len;

	if (addr->len <= head || addr->len > sizeof(addr->un))
		return -EINVAL;
	len = addr->len - head;
	nul = memchr(addr->un.sun_path, '\0', len);
	if (nul && nul != addr->un.sun_path)
		len = (size_t)(nul - addr->un.sun_path);
	name->path_len = (uint8_t)len;
	memcpy(name->path, addr->un.sun_path, len);
	return 0;
}

int sim_name_parse(struct sim_name *name, const struct io_addr *addr)
{
	int rc = 0;

	memset(name, 0, sizeof(*name));
	name->family = addr->sa.sa_family;
	if (name->family == AF_INET) {
		name->ip = ntohl(addr->in.sin_addr.s_addr);
		name->port = ntohs(addr->in.sin_port);
	} else if (name->family == AF_INET6) {
		rc = parse_in6(name, &addr->in6);
	} else if (name->family == AF_UNIX) {
		rc = parse_un(name, addr);
	} else {
		rc = -EAFNOSUPPORT;
	}
	return rc;
}

static void format_in6(const struct sim_name *name, struct sockaddr_in6 *in6)
{
	in6->sin6_port = htons(name->port);
	if (is_loopback(name->ip))
		in6->sin6_addr = in6addr_loopback;
	else if (name->ip != INADDR_ANY)
		node_in6(name->ip, &in6->sin6_addr);
}

void sim_name_format(const struct sim_name *name, struct io_addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->sa.sa_family = name->family;
	if (name->family == AF_INET) {
		addr->len = sizeof(addr->in);
		addr->in.sin_addr.s_addr = htonl(name->ip);
		addr->in.sin_port = htons(name->port);
	} else if (name->family == AF_INET6) {
		addr->len = sizeof(addr->in6);
		format_in6(name, &addr->in6);
	} else {
		size_t len = offsetof(struct sockaddr_un, sun_path) + name->path_len;

		memcpy(addr->un.sun_path, name->path, name->path_len);
		if (name->path_len && name->path[0] != '\0' && len < sizeof(addr->un))
			len++; /* the NUL, as the kernel counts it */
		addr->len = (socklen_t)len;
	}
}

void sim_name_text(const struct sim_name *name, char *text, size_t size)
{
	bool abstract = name->path_len > 0 && name->path[0] == '\0';
	uint32_t ip = name->ip;

	if (name->family == AF_UNIX)
		snprintf(text, size, "unix:%s%.*s", abstract ? "@" : "", name->path_len - abstract,
			name->path + abstract);
	else
		snprintf(text, size, "%s%u.%u.%u.%u:%u", name->family == AF_INET6 ? "ipv6 " : "",
			ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255, name->port);
}

/* Would a connection to b reach a listener at a? */
static bool covers(const struct sim_name *a, const struct sim_name *b)
{
	if (a->family == AF_UNIX || b->family == AF_UNIX)
		return a->family == b->family && a->path_len == b->path_len &&
			memcmp(a->path, b->path, a->path_len) == 0;
	if (a->port != b->port)
		return false;
	if (a->ip == INADDR_ANY)
		return a->family == b->family || (a->family == AF_INET6 && !a->v6only);
	return a->family == b->family && a->ip == b->ip;
}

static struct sim_handle *find_conflict(
	const struct sim_node *node, const struct sim_name *name, bool reuse_port)
{
	list_for_each(it, &node->listeners) {
		struct sim_handle *h = container_of(it, struct sim_handle, listener_link);

		if (!covers(&h->name, name) && !covers(name, &h->name))
			continue;
		if (!reuse_port || !h->reuse_port || name->family == AF_UNIX)
			return h;
	}
	return NULL;
}

static uint16_t port_take(struct sim_node *node)
{
	uint16_t port = node->port_next;

	node->port_next = port == SIM_PORT_LAST ? SIM_PORT_FIRST : (uint16_t)(port + 1);
	return port;
}

int sim_name_bind(struct sim *sim, unsigned node, struct sim_name *name, bool reuse_port)
{
	struct sim_node *n = sim->nodes[node];

	if (name->family == AF_UNIX)
		return find_conflict(n, name, false) ? -EADDRINUSE : 0;
	if (name->ip != INADDR_ANY && !is_loopback(name->ip) && name->ip != node_ip(node))
		return -EADDRNOTAVAIL;
	if (name->port != 0)
		return find_conflict(n, name, reuse_port) ? -EADDRINUSE : 0;
	for (int i = SIM_PORT_FIRST; i <= SIM_PORT_LAST; i++) {
		name->port = port_take(n);
		if (!find_conflict(n, name, false))
			return 0;
	}
	return -EADDRINUSE;
}

int sim_name_route(struct sim *sim, unsigned node, struct sim_name *local, struct sim_name *remote,
	unsigned *remote_node)
{
	memset(local, 0, sizeof(*local));
	local->family = remote->family;
	*remote_node = node;
	if (remote->family == AF_UNIX)
		return 0;
	if (remote->ip == INADDR_ANY)
		remote->ip = INADDR_LOOPBACK;
	if (remote->port == 0)
		return -ECONNREFUSED;
	if (is_loopback(remote->ip)) {
		local->ip = remote->ip;
	} else if ((remote->ip & NET_MASK) != NET_BASE) {
		return -ENETUNREACH;
	} else {
		unsigned last = remote->ip & ~NET_MASK;

		if (last == 0 || last > sim->node_count)
			return -EHOSTUNREACH;
		*remote_node = last - 1;
		local->ip = node_ip(node);
	}
	local->port = port_take(sim->nodes[node]);
	return 0;
}

/* Several may share a port: the net chooses among them. */
struct sim_handle *sim_name_listener(struct sim *sim, unsigned node, const struct sim_name *name)
{
	struct sim_handle *chosen = NULL;
	unsigned count = 0;

	list_for_each(it, &sim->nodes[node]->listeners) {
		struct sim_handle *h = container_of(it, struct sim_handle, listener_link);

		if (h->read_shut || !covers(&h->name, name))
			continue;
		count++;
		if (count == 1 || sim_random_below(sim, SIM_RANDOM_NETWORK, count) == 0)
			chosen = h;
	}
	return chosen;
}

static int node_find(const struct sim *sim, const char *name)
{
	for (unsigned i = 0; i < sim->node_count; i++)
		if (strcmp(sim->nodes[i]->name, name) == 0)
			return (int)i;
	return -1;
}

int sim_node_create(struct sim *sim, const char *name)
{
	struct in6_addr ignored;
	struct sim_node *node;
	size_t len = strlen(name);

	if (len == 0 || len > SIM_NAME_MAX || strcmp(name, "localhost") == 0 ||
		inet_pton(AF_INET, name, &ignored) == 1 || inet_pton(AF_INET6, name, &ignored) == 1)
		return -EINVAL;
	if (node_find(sim, name) >= 0)
		return -EEXIST;
	if (sim->node_count == SIM_NODES_MAX)
		return -ENOSPC;
	node = mem_calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	memcpy(node->name, name, len + 1);
	list_init(&node->handles);
	list_init(&node->listeners);
	node->descriptors_max = SIZE_MAX;
	node->port_next = SIM_PORT_FIRST;
	sim->nodes[sim->node_count] = node;
	sim_log(sim, SIM_NODE, sim->node_count++, 0, 0);
	return 0;
}

static int resolve_number(const char *host, struct io_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &out->in.sin_addr) == 1) {
		out->len = sizeof(out->in);
		out->in.sin_family = AF_INET;
	} else if (inet_pton(AF_INET6, host, &out->in6.sin6_addr) == 1) {
		out->len = sizeof(out->in6);
		out->in6.sin6_family = AF_INET6;
	} else {
		return 0;
	}
	return 1;
}

/* Names have addresses of both families, as hosts mostly do. */
int sim_resolve(struct io *io, const char *host, struct io_addr *out, int max)
{
	struct sim *sim = sim_of(io);
	struct sim_name v4 = { .family = AF_INET }, v6 = { .family = AF_INET6 };
	int found = node_find(sim, host);

	if (max < 1)
		return -EINVAL;
	if (resolve_number(host, out))
		return 1;
	if (strcmp(host, "localhost") == 0)
		v4.ip = INADDR_LOOPBACK;
	else if (found >= 0)
		v4.ip = node_ip((unsigned)found);
	else
		return -ENOENT;
	v6.ip = v4.ip;
	if (max > 1)
		sim_name_format(&v6, out++);
	sim_name_format(&v4, out);
	return max > 1 ? 2 : 1;
}
