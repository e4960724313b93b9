/* SPDX-License-Identifier: MIT */
/*
 * Addresses as users type them. Besides memory errors: what parses is whole, what it is
 * formatted as parses again to the same, and nothing is half filled in after an error.
 */
#include "net/addr.h"

#include "base/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Names with control bytes are written escaped: for people, not to be parsed. */
static void check_round_trip(const struct net_addr *addr)
{
	char name[NET_NAME_SIZE];
	struct net_addr again;

	net_addr_format(&addr->addr, name);
	CHECK(strlen(name) < sizeof(name));
	for (const char *c = name; *c; c++)
		CHECK((unsigned char)*c >= ' ' && *c != 127);
	if (strchr(name, '\\') || strchr(name, '%'))
		return;
	CHECK(!net_addr_parse(&again, name, strlen(name), NET_LISTEN));
	CHECK(again.kind == addr->kind);
	net_addr_set_port(&again.addr, addr->port);
	if (addr->addr.sa.sa_family == again.addr.sa.sa_family) /* not ::ffff:1.2.3.4 */
		CHECK(net_addr_equal(&again.addr, &addr->addr));
}

static void check(const struct net_addr *addr, enum net_use use)
{
	if (addr->kind == NET_TCP) {
		CHECK(addr->host[0] && strlen(addr->host) <= NET_HOST_MAX);
		CHECK(addr->port || use == NET_LISTEN);
	} else {
		CHECK(addr->addr.len <= sizeof(addr->addr.un));
		CHECK(net_addr_is_local(&addr->addr));
	}
	if (addr->kind == NET_UNIX || addr->numeric)
		check_round_trip(addr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum net_use uses[] = { NET_DIAL, NET_LISTEN };
	struct net_addr addr, untouched;

	for (int i = 0; i < 2; i++) {
		memset(&addr, 0xa5, sizeof(addr));
		untouched = addr;
		if (net_addr_parse(&addr, (const char *)data, size, uses[i])) {
			CHECK(!memcmp(&addr, &untouched, sizeof(addr)));
			CHECK(strstr(weft_error_detail(), "at offset"));
		} else {
			check(&addr, uses[i]);
		}
	}
	return 0;
}
