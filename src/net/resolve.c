/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "net/resolve.h"

#include "base/err.h"
#include "base/mem.h"
#include "rt/rt.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Owned by the caller until weft_offload gives it to the pool. */
struct request {
	char host[NET_HOST_MAX + 1];
	struct resolved found;
};

static weft_err gai_failure(int rc, int errnum, const char *host)
{
	if (rc == EAI_MEMORY)
		return err_sys(ENOMEM, "resolve %s", host);
	if (rc == EAI_SYSTEM && (errnum == EMFILE || errnum == ENFILE || errnum == ENOMEM))
		return err_sys(errnum, "resolve %s", host);
	return err_setf(WEFT_ERESOLVE, "resolve %s: %s", host,
		rc == EAI_SYSTEM ? net_reason(errnum) : gai_strerror(rc));
}

static bool has(const struct resolved *list, const struct io_addr *addr)
{
	for (size_t i = 0; i < list->len; i++) {
		if (net_addr_equal(&list->addrs[i], addr))
			return true;
	}
	return false;
}

static void keep(struct resolved *list, const struct addrinfo *info)
{
	struct io_addr addr;

	if ((info->ai_family != AF_INET && info->ai_family != AF_INET6) ||
		info->ai_addrlen > sizeof(addr) - offsetof(struct io_addr, sa))
		return;
	memset(&addr, 0, sizeof(addr));
	memcpy(&addr.sa, info->ai_addr, info->ai_addrlen);
	addr.len = info->ai_addrlen;
	if (!has(list, &addr))
		list->addrs[list->len++] = addr;
}

/* In the pool. */
static weft_err resolve_job(void *arg)
{
	struct request *request = arg;
	struct addrinfo hints = { 0 }, *infos = NULL;
	int rc;

	hints.ai_socktype = SOCK_STREAM;
	errno = 0;
	rc = getaddrinfo(request->host, NULL, &hints, &infos);
	if (rc != 0)
		return gai_failure(rc, errno, request->host);
	for (const struct addrinfo *i = infos; i && request->found.len < RESOLVE_MAX;
		i = i->ai_next)
		keep(&request->found, i);
	freeaddrinfo(infos);
	if (request->found.len == 0)
		return err_setf(WEFT_ERESOLVE, "resolve %s: no address", request->host);
	return WEFT_OK;
}

static weft_err resolve_system(struct resolved *out, const char *host, weft_deadline until)
{
	struct request *request = mem_calloc(1, sizeof(*request));
	weft_err err;

	if (!request)
		return err_sys(ENOMEM, "resolve %s", host);
	snprintf(request->host, sizeof(request->host), "%s", host);
	err = weft_offload(resolve_job, request, mem_free, until);
	if (err == WEFT_ETIMEDOUT || err == WEFT_ECANCELED)
		return err_setf(err, "resolve %s: %s", host, weft_strerror(err));
	if (!err)
		*out = request->found;
	mem_free(request);
	return err;
}

static weft_err resolve_backend(struct resolved *out, struct io *io, const char *host)
{
	int n = io->ops->resolve(io, host, out->addrs, RESOLVE_MAX);

	if (n == -ENOMEM)
		return err_sys(ENOMEM, "resolve %s", host);
	if (n <= 0)
		return err_setf(WEFT_ERESOLVE, "resolve %s: %s", host,
			n < 0 ? net_reason(-n) : "no address");
	out->len = (size_t)n;
	return WEFT_OK;
}

void resolve_interleave(struct resolved *list)
{
	struct resolved in = *list;
	sa_family_t turn;
	size_t done = 0;

	if (in.len == 0)
		return;
	turn = in.addrs[0].sa.sa_family;
	while (done < list->len) {
		size_t i = 0;

		while (i < in.len && in.addrs[i].sa.sa_family != turn)
			i++;
		if (i == in.len)
			i = 0; /* only the other family is left */
		list->addrs[done++] = in.addrs[i];
		turn = in.addrs[i].sa.sa_family == AF_INET ? AF_INET6 : AF_INET;
		in.len--;
		memmove(&in.addrs[i], &in.addrs[i + 1], (in.len - i) * sizeof(in.addrs[0]));
	}
}

weft_err resolve(struct resolved *out, const struct net_addr *addr, weft_deadline until)
{
	struct io *io = rt_io();
	weft_err err;

	if (!io)
		return err_setf(WEFT_EINVAL, "resolve %s: no runtime is running", addr->host);
	out->len = 0;
	if (addr->numeric) {
		out->addrs[out->len++] = addr->addr;
		return WEFT_OK;
	}
	if (io->ops->resolve)
		err = resolve_backend(out, io, addr->host);
	else
		err = resolve_system(out, addr->host, until);
	if (err)
		return err;
	for (size_t i = 0; i < out->len; i++)
		net_addr_set_port(&out->addrs[i], addr->port);
	resolve_interleave(out);
	return WEFT_OK;
}
