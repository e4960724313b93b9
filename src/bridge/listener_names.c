/* SPDX-License-Identifier: MIT */
/* See listener_names.h. */
#include "bridge/listener_names.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static const char *const loopback[] = { "localhost", "127.0.0.1", "[::1]" };
#define LOOPBACK (sizeof(loopback) / sizeof(loopback[0]))

/* Its own, and more. */
static weft_err list_make(const char ***out, char own[ORIGINS_OWN][ORIGIN_MAX], size_t own_count,
	const char *const *more)
{
	size_t count = 0;
	const char **list;

	while (more && more[count])
		count++;
	list = mem_calloc(own_count + count + 1, sizeof(*list));
	if (!list)
		return err_set(WEFT_ENOMEM);
	for (size_t i = 0; i < own_count; i++)
		list[i] = own[i];
	for (size_t i = 0; i < count; i++)
		list[own_count + i] = more[i];
	*out = list;
	return WEFT_OK;
}

weft_err listener_names_init(struct listener_names *names, const char *listener, bool is_tls,
	const char *const *origins, const char *const *hosts)
{
	const char *scheme = is_tls ? "https" : "http";
	const char *address = listener + strlen("tcp://");
	const char *port = strrchr(address, ':');
	size_t own = 0;
	weft_err err;

	names->origins = names->hosts = NULL;
	for (; own < LOOPBACK; own++) {
		(void)snprintf(names->own_origins[own], ORIGIN_MAX, "%s://%s%s", scheme,
			loopback[own], port);
		(void)snprintf(names->own_hosts[own], ORIGIN_MAX, "%s", loopback[own]);
	}
	(void)snprintf(names->own_origins[own], ORIGIN_MAX, "%s://%s", scheme, address);
	err = list_make(&names->origins, names->own_origins, own + 1, origins);
	if (!err && hosts && hosts[0])
		err = list_make(&names->hosts, names->own_hosts, own, hosts);
	if (err)
		listener_names_fini(names);
	return err;
}

void listener_names_fini(struct listener_names *names)
{
	mem_free(names->origins);
	mem_free(names->hosts);
	names->origins = names->hosts = NULL;
}
