/* SPDX-License-Identifier: MIT */
/* The grammar of addresses. */
#include "net/addr.h"

#include "support/t.h"

#include <stdio.h>
#include <string.h>

static weft_err parse(struct net_addr *out, const char *text)
{
	return net_addr_parse(out, text, strlen(text), NET_LISTEN);
}

/* What a good address is formatted as. */
static const struct {
	const char *text, *name;
} good[] = {
	{ "tcp://127.0.0.1:80", "tcp://127.0.0.1:80" },
	{ "tcp://:80", "tcp://127.0.0.1:80" },
	{ "tcp://0.0.0.0:0", "tcp://0.0.0.0:0" },
	{ "tcp://1.2.3.4:065535", "tcp://1.2.3.4:65535" },
	{ "tcp://[::1]:8080", "tcp://[::1]:8080" },
	{ "tcp://[2001:DB8:0::1]:1", "tcp://[2001:db8::1]:1" },
	{ "tcp://[::ffff:1.2.3.4]:5", "tcp://1.2.3.4:5" },
	{ "tcp://[fe80::1%7]:5", "tcp://[fe80::1%7]:5" },
	{ "tcp://[fe80::1%lo]:5", "tcp://[fe80::1%1]:5" },
	{ "unix:/run/x.sock", "unix:/run/x.sock" },
	{ "unix:///run/x.sock", "unix:/run/x.sock" },
	{ "unix:////run//x.sock", "unix:/run//x.sock" },
	{ "unix:x.sock", "unix:x.sock" },
	{ "unix:/with space", "unix:/with space" },
	{ "unix:/new\nline", "unix:/new\\x0aline" },
	{ "unix:@name", "unix:@name" },
};

START_TEST(addr_parses_and_formats)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct net_addr addr;
		char name[NET_NAME_SIZE];

		ck_assert_msg(parse(&addr, good[i].text) == WEFT_OK, "%s: %s", good[i].text,
			weft_error_detail());
		ck_assert(addr.kind == NET_UNIX || addr.numeric);
		net_addr_format(&addr.addr, name);
		ck_assert_str_eq(name, good[i].name);
	}
}
END_TEST

/* The words of the error, and the offset it names. */
static const struct {
	const char *text, *why;
	int at;
} bad[] = {
	{ "", "neither tcp:// nor unix: begins it", 0 },
	{ "http://a:80", "neither tcp:// nor unix: begins it", 0 },
	{ "TCP://a:80", "neither tcp:// nor unix: begins it", 0 },
	{ "tcp://", "the port is missing", 6 },
	{ "tcp://host", "the port is missing", 10 },
	{ "tcp://host:", "the port is missing", 11 },
	{ "tcp://host:70000", "the port is above 65535", 11 },
	{ "tcp://host:99999999999999999999", "the port is above 65535", 11 },
	{ "tcp://host:8o", "the port is not a number", 12 },
	{ "tcp://host:-1", "the port is not a number", 11 },
	{ "tcp://host:80/", "the port is not a number", 13 },
	{ "tcp://::1:80", "an IPv6 address stands in brackets: [::1]", 6 },
	{ "tcp://[::1:80", "']' is missing", 6 },
	{ "tcp://[::g]:80", "not an IPv6 address", 6 },
	{ "tcp://[1.2.3.4]:80", "not an IPv6 address", 6 },
	{ "tcp://[::1%]:80", "not an IPv6 address", 6 },
	{ "tcp://[::1%x/]:80", "not an IPv6 address", 6 },
	{ "tcp://[::1]", "the port is missing", 11 },
	{ "tcp://[::1]80", "':' and a port are missing after the host", 11 },
	{ "tcp://a b:80", "a character that no host name has", 7 },
	{ "tcp://user@host:80", "a character that no host name has", 10 },
	{ "unix:", "the path is missing", 5 },
	{ "unix:@", "the path is missing", 5 },
	{ "unix://host", "a unix address has no host: unix:/path", 5 },
	{ "unix://", "a unix address has no host: unix:/path", 5 },
};

START_TEST(addr_errors_say_what_and_where)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct net_addr addr;
		char expected[256];

		ck_assert_msg(parse(&addr, bad[i].text) == WEFT_EINVAL, "%s parses", bad[i].text);
		snprintf(expected, sizeof(expected), "address \"%s\": %s (at offset %d)",
			bad[i].text, bad[i].why, bad[i].at);
		ck_assert_str_eq(weft_error_detail(), expected);
	}
}
END_TEST

START_TEST(addr_port_0_is_for_listeners)
{
	struct net_addr addr;

	ck_assert_int_eq(net_addr_parse(&addr, "tcp://:0", 8, NET_LISTEN), WEFT_OK);
	ck_assert_int_eq(net_addr_parse(&addr, "tcp://:0", 8, NET_DIAL), WEFT_EINVAL);
}
END_TEST

START_TEST(addr_names_have_limits)
{
	struct net_addr addr;
	char text[400], name[NET_NAME_SIZE];
	int n;

	n = snprintf(text, sizeof(text), "tcp://%0253d:1", 0);
	ck_assert_int_eq(parse(&addr, text), WEFT_OK);
	ck_assert(!addr.numeric);
	ck_assert_uint_eq(strlen(addr.host), 253);
	n = snprintf(text, sizeof(text), "tcp://%0254d:1", 0);
	ck_assert_int_eq(parse(&addr, text), WEFT_EINVAL);
	/* a long address is cut in the error */
	ck_assert_uint_lt(strlen(weft_error_detail()), 250);
	n = snprintf(text, sizeof(text), "unix:@%0106d", 0);
	ck_assert_int_eq(parse(&addr, text), WEFT_OK);
	ck_assert_uint_eq(addr.addr.len, offsetof(struct sockaddr_un, sun_path) + 107);
	memset(text + 6, 1, 106);
	ck_assert_int_eq(net_addr_parse(&addr, text, (size_t)n, NET_DIAL), WEFT_OK);
	net_addr_format(&addr.addr, name);
	ck_assert_uint_eq(strlen(name), 6 + 4 * 106);
	n = snprintf(text, sizeof(text), "unix:@%0107d", 0);
	ck_assert_int_eq(parse(&addr, text), WEFT_EINVAL);
	ck_assert_int_eq(net_addr_parse(&addr, "unix:a\0b", 8, NET_DIAL), WEFT_EINVAL);
}
END_TEST

START_TEST(addr_knows_what_stays_on_this_host)
{
	static const struct {
		const char *text;
		bool local;
	} table[] = { { "tcp://127.3.2.1:1", true }, { "tcp://[::1]:1", true },
		{ "tcp://[::ffff:127.0.0.1]:1", true }, { "unix:/x", true },
		{ "tcp://0.0.0.0:1", false }, { "tcp://[::]:1", false },
		{ "tcp://10.0.0.1:1", false }, { "tcp://[fe80::1]:1", false } };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct net_addr addr;

		ck_assert_int_eq(parse(&addr, table[i].text), WEFT_OK);
		ck_assert_int_eq(net_addr_is_local(&addr.addr), table[i].local);
	}
}
END_TEST

static void addr_tests(TCase *tc)
{
	t_add(tc, addr_parses_and_formats);
	t_add(tc, addr_errors_say_what_and_where);
	t_add(tc, addr_port_0_is_for_listeners);
	t_add(tc, addr_names_have_limits);
	t_add(tc, addr_knows_what_stays_on_this_host);
}

T_SUITE("addr", addr_tests)
