/* SPDX-License-Identifier: MIT */
/* The grammar of endpoints and of command lines, by tables. */
#include "bridge/endpoint.h"
#include "rt/reclaim.h"
#include "support/t.h"

#include <weft/bridge.h>

#include <stdlib.h>
#include <string.h>

/* ---- words ---- */

struct split_case {
	const char *line;
	const char *words; /* joined by '|'; NULL: an error */
};

static const struct split_case splits[] = {
	{ "cat", "cat" },
	{ "  cat \t -n\n", "cat|-n" },
	{ "a 'b c' d", "a|b c|d" },
	{ "a 'b'\"c\"d", "a|bcd" },
	{ "a ''", "a|" },
	{ "a \"\" b", "a||b" },
	{ "a 'x\\y' \"x\\y\"", "a|x\\y|x\\y" },
	{ "a \"\\\"\\\\\\$\\`\"", "a|\"\\$`" },
	{ "a b\\ c \\'d\\'", "a|b c|'d'" },
	{ "a $HOME *.c | b; c && d > e ~", "a|$HOME|*.c|||b;|c|&&|d|>|e|~" },
	{ "", NULL },
	{ "   ", NULL },
	{ "''", NULL },
	{ "a 'b", NULL },
	{ "a \"b", NULL },
	{ "a \"b\\\"", NULL },
	{ "a b\\", NULL },
};

START_TEST(words_are_split_as_a_shell_splits_them)
{
	const struct split_case *c = &splits[_i];
	struct words words = { 0 };
	char joined[256] = "";
	weft_err err = words_split(&words, c->line);

	if (!c->words) {
		ck_assert_int_eq(err, WEFT_EINVAL);
		ck_assert_ptr_null(words.argv);
		return;
	}
	ck_assert_int_eq(err, WEFT_OK);
	for (size_t i = 0; i < words.count; i++) {
		if (i)
			strcat(joined, "|");
		strcat(joined, words.argv[i]);
	}
	ck_assert_str_eq(joined, c->words);
	ck_assert_ptr_null(words.argv[words.count]);
	words_fini(&words);
}
END_TEST

START_TEST(words_have_a_limit)
{
	static char line[2 * (WORDS_MAX + 1) + 1];
	struct words words = { 0 };

	for (size_t i = 0; i < WORDS_MAX; i++)
		memcpy(line + 2 * i, "a ", 3);
	ck_assert_int_eq(words_split(&words, line), WEFT_OK);
	ck_assert_uint_eq(words.count, WORDS_MAX);
	words_fini(&words);
	strcat(line, "a");
	ck_assert_int_eq(words_split(&words, line), WEFT_EINVAL);
}
END_TEST

/* ---- endpoints that parse ---- */

struct good_case {
	const char *text;
	enum endpoint_kind kind;
	bool is_listener, is_local;
	const char *address;
};

static const struct good_case goods[] = {
	{ "stdio:", ENDPOINT_STDIO, false, false, NULL },
	{ "exec:cat -n", ENDPOINT_EXEC, false, false, NULL },
	{ "exec:cat ?nodelay=1", ENDPOINT_EXEC, false, false, NULL },
	{ "tcp://127.0.0.1:80", ENDPOINT_TCP, false, true, "tcp://127.0.0.1:80" },
	{ "tcp://:80", ENDPOINT_TCP, false, true, "tcp://:80" },
	{ "tcp://localhost:80", ENDPOINT_TCP, false, true, "tcp://localhost:80" },
	{ "tcp://[::1]:80", ENDPOINT_TCP, false, true, "tcp://[::1]:80" },
	{ "tcp://127.9.9.9:65535", ENDPOINT_TCP, false, true, "tcp://127.9.9.9:65535" },
	{ "tcp://example.org:1", ENDPOINT_TCP, false, false, "tcp://example.org:1" },
	{ "listen:tcp://:0", ENDPOINT_TCP, true, true, "tcp://:0" },
	{ "listen:tcp://0.0.0.0:0", ENDPOINT_TCP, true, false, "tcp://0.0.0.0:0" },
	{ "listen:tcp://[::]:0", ENDPOINT_TCP, true, false, "tcp://[::]:0" },
	{ "listen:tcp://10.0.0.1:7", ENDPOINT_TCP, true, false, "tcp://10.0.0.1:7" },
	{ "unix:/run/x", ENDPOINT_UNIX, false, true, "unix:/run/x" },
	{ "unix:/a%3Fb%25c%20d", ENDPOINT_UNIX, false, true, "unix:/a?b%c d" },
	{ "unix:@name", ENDPOINT_UNIX, false, true, "unix:@name" },
	{ "listen:unix:/run/x?mode=0600&backlog=3", ENDPOINT_UNIX, true, true, "unix:/run/x" },
	{ "mux+tcp://127.0.0.1:80", ENDPOINT_TCP, false, true, "tcp://127.0.0.1:80" },
	{ "mux+tcp://example.org:80?v=1", ENDPOINT_TCP, false, false, "tcp://example.org:80" },
	{ "listen:mux+tcp://:0", ENDPOINT_TCP, true, true, "tcp://:0" },
	{ "listen:mux+tcp://0.0.0.0:0", ENDPOINT_TCP, true, false, "tcp://0.0.0.0:0" },
	{ "mux+unix:/a%3Fb?v=2", ENDPOINT_UNIX, false, true, "unix:/a?b" },
	{ "tls://example.org:443", ENDPOINT_TCP, false, false, "tcp://example.org:443" },
	{ "listen:tls://:0?cert=/c&key=/k", ENDPOINT_TCP, true, true, "tcp://:0" },
	{ "mux+tls://[::1]:1?sessions=2&ca=x", ENDPOINT_TCP, false, true, "tcp://[::1]:1" },
	{ "listen:mux+tls://0.0.0.0:1", ENDPOINT_TCP, true, false, "tcp://0.0.0.0:1" },
	{ "listen:mux+unix:@name", ENDPOINT_UNIX, true, true, "unix:@name" },
};

START_TEST(endpoints_parse)
{
	const struct good_case *c = &goods[_i];
	struct endpoint e;

	ck_assert_int_eq(endpoint_parse(&e, c->text), WEFT_OK);
	ck_assert_int_eq(e.kind, c->kind);
	ck_assert_int_eq(e.is_listener, c->is_listener);
	ck_assert_int_eq(e.is_local, c->is_local);
	ck_assert_pstr_eq(e.address, c->address);
	ck_assert_int_eq(endpoint_is_mux(&e), strstr(c->text, "mux+") != NULL);
	endpoint_fini(&e);
}
END_TEST

START_TEST(endpoint_options_are_set)
{
	struct endpoint e;

	ck_assert_int_eq(endpoint_parse(&e, "tcp://:1"), WEFT_OK);
	ck_assert(e.net.nodelay);
	ck_assert(!e.net.keepalive);
	endpoint_fini(&e);
	ck_assert_int_eq(endpoint_parse(&e, "tcp://:1?nodelay=0&keepalive=30"), WEFT_OK);
	ck_assert(!e.net.nodelay);
	ck_assert(e.net.keepalive);
	ck_assert_uint_eq(e.net.keepalive_idle_s, 30);
	endpoint_fini(&e);
	ck_assert_int_eq(
		endpoint_parse(&e, "listen:tcp://:1?keepalive=0&backlog=7&reuseport=1"), WEFT_OK);
	ck_assert(!e.net.keepalive);
	ck_assert_uint_eq(e.net.backlog, 7);
	ck_assert(e.net.reuse_port);
	endpoint_fini(&e);
	ck_assert_int_eq(endpoint_parse(&e, "listen:unix:/x?mode=0660"), WEFT_OK);
	ck_assert_uint_eq(e.net.unix_mode, 0660);
	endpoint_fini(&e);
}
END_TEST

START_TEST(mux_options_are_set)
{
	struct endpoint e;

	ck_assert_int_eq(endpoint_parse(&e, "mux+tcp://:1"), WEFT_OK);
	ck_assert_uint_eq(e.mux.version, 2);
	ck_assert_uint_eq(e.mux.sessions, 1);
	ck_assert_uint_eq(e.mux.keepalive_s, 10);
	ck_assert(e.net.nodelay && !e.net.keepalive);
	endpoint_fini(&e);
	ck_assert_int_eq(
		endpoint_parse(&e, "mux+tcp://:1?v=1&sessions=64&keepalive=3&nodelay=0"), WEFT_OK);
	ck_assert_uint_eq(e.mux.version, 1);
	ck_assert_uint_eq(e.mux.sessions, 64);
	ck_assert_uint_eq(e.mux.keepalive_s, 3);
	ck_assert(!e.net.nodelay && !e.net.keepalive);
	endpoint_fini(&e);
	ck_assert_int_eq(
		endpoint_parse(&e, "listen:mux+tcp://:1?v=2&keepalive=0&backlog=7&reuseport=1"),
		WEFT_OK);
	ck_assert_uint_eq(e.mux.version, 2);
	ck_assert_uint_eq(e.mux.keepalive_s, 0);
	ck_assert_uint_eq(e.net.backlog, 7);
	ck_assert(e.net.reuse_port);
	endpoint_fini(&e);
	ck_assert_int_eq(endpoint_parse(&e, "listen:mux+unix:/x?mode=0660&v=1"), WEFT_OK);
	ck_assert_uint_eq(e.net.unix_mode, 0660);
	ck_assert_uint_eq(e.mux.version, 1);
	endpoint_fini(&e);
	ck_assert_int_eq(endpoint_parse(&e, "tcp://:1?keepalive=3"), WEFT_OK);
	ck_assert_uint_eq(e.net.keepalive_idle_s, 3);
	ck_assert_uint_eq(e.mux.keepalive_s, 0);
	endpoint_fini(&e);
}
END_TEST

/* ---- endpoints that do not ---- */

struct bad_case {
	const char *text;
	const char *why; /* part of the detail */
};

static const struct bad_case bads[] = {
	{ "", "no scheme" },
	{ "foo", "no scheme" },
	{ "stdio", "colon is missing" },
	{ "foo:bar", "unknown scheme \"foo:\"" },
	{ "localhost:80", "known are: stdio: exec: tcp:" },
	{ "TCP://:1", "unknown scheme" },
	{ "stdio:x", "nothing may follow" },
	{ "stdio:?a=b", "nothing may follow" },
	{ "exec:", "command is missing" },
	{ "exec:'a", "without its end" },
	{ "tcp://", "port is missing" },
	{ "tcp://h", "port is missing" },
	{ "tcp://h:", "port is missing" },
	{ "tcp:h:1", "tcp" },
	{ "tcp://h:x", "not a number" },
	{ "tcp://h:-1", "not a number" },
	{ "tcp://h:70000", "above 65535" },
	{ "tcp://h:0", "port 0" },
	{ "tcp://h:1/", "not a number" },
	{ "tcp://::1:80", "brackets" },
	{ "tcp://[::1:80", "']' is missing" },
	{ "tcp://u@h:1", "character" },
	{ "unix:", "path is missing" },
	{ "unix:@", "path is missing" },
	{ "unix://host/x", "no host" },
	{ "unix:/%", "hexadecimal" },
	{ "unix:/%4", "hexadecimal" },
	{ "unix:/%zz", "hexadecimal" },
	{ "unix:/a%00b", "%00" },
	{ "tcp://:1?", "without a name" },
	{ "tcp://:1?=1", "without a name" },
	{ "tcp://:1?nodelay", "has no value" },
	{ "tcp://:1?nodelay=", "not 0 or 1" },
	{ "tcp://:1?nodelay=2", "not 0 or 1" },
	{ "tcp://:1?nodelay=1&nodelay=1", "twice" },
	{ "tcp://:1?nodelay=1&", "without a name" },
	{ "tcp://:1?nodlay=1", "unknown option \"nodlay\"; this endpoint has: nodelay keepalive" },
	{ "tcp://:1?keepalive=1s", "not seconds" },
	{ "tcp://:1?keepalive=99999999999", "not seconds" },
	{ "tcp://:1?backlog=1", "\"backlog\" does not go with this endpoint" },
	{ "listen:tcp://:1?backlog=0", "not 1..65535" },
	{ "listen:tcp://:1?mode=0600", "\"mode\" does not go with this endpoint" },
	{ "unix:/x?nodelay=1", "\"nodelay\" does not go with this endpoint" },
	{ "listen:unix:/x?mode=0680", "octal" },
	{ "listen:unix:/x?mode=7777", "octal" },
	{ "listen:", "no scheme" },
	{ "listen:stdio:", "not with stdio:" },
	{ "listen:exec:cat", "not with exec:" },
	{ "listen:listen:tcp://:0", "unknown scheme \"listen:\"" },
	{ "tls://h", "port is missing" },
	{ "tls://h:1?mode=0600", "\"mode\" does not go with this endpoint" },
	{ "tls://h:1?v=2", "\"v\" does not go with this endpoint" },
	{ "tls://h:1?client-ca=x", "\"client-ca\" does not go with this endpoint" },
	{ "listen:tls://h:1?ca=x", "\"ca\" does not go with this endpoint" },
	{ "listen:tls://h:1?insecure=1", "\"insecure\" does not go with this endpoint" },
	{ "listen:tls://h:1?fingerprint=x", "\"fingerprint\" does not go with this endpoint" },
	{ "tcp://h:1?ca=x", "\"ca\" does not go with this endpoint" },
	{ "tls://h:1?caa=x",
		"this endpoint has: nodelay keepalive cert key alpn ca servername "
		"fingerprint insecure" },
	{ "tls://h:1?ca", "\"ca\" has no value: a file" },
	{ "tls://h:1?ca=", "\"ca\" is empty: a file" },
	{ "tls://h:1?ca=a%zz", "\"ca\": % at offset 1" },
	{ "tls://h:1?ca=a&ca=b", "\"ca\" is given twice" },
	{ "tls://h:1?insecure=yes", "not 0 or 1" },
	{ "tls://h:1?insecure=1&ca=x", "does not go with \"ca\"" },
	{ "tls://h:1?insecure=1&fingerprint=x", "does not go with \"fingerprint\"" },
	{ "tls://h:1?fingerprint=x&ca=y", "does not go with \"ca\"" },
	{ "tls://h:1?key=x", "\"key\" is of no use without \"cert\"" },
	{ "mux+tcp://:1?v=0", "\"v\": \"0\" is not 1 or 2" },
	{ "mux+tcp://:1?v=3", "not 1 or 2" },
	{ "mux+tcp://:1?v=", "not 1 or 2" },
	{ "mux+tcp://:1?v=1&v=2", "\"v\" is given twice" },
	{ "mux+tcp://:1?sessions=0", "not 1..64" },
	{ "mux+tcp://:1?sessions=65", "not 1..64" },
	{ "mux+tcp://:1?sessions=-1", "not 1..64" },
	{ "mux+tcp://:1?keepalive=1s", "not seconds" },
	{ "mux+tcp://:1?keepalive=1&keepalive=1", "twice" },
	{ "mux+tcp://:1?backlog=1", "those that do: nodelay keepalive v sessions" },
	{ "mux+tcp://:1?w=1", "this endpoint has: nodelay keepalive v sessions" },
	{ "mux+unix:/x?nodelay=1", "those that do: keepalive v sessions" },
	{ "listen:mux+tcp://:1?sessions=2", "\"sessions\" does not go with this endpoint" },
	{ "listen:mux+tcp://:1?mode=0600", "\"mode\" does not go with this endpoint" },
	{ "tcp://:1?v=2", "\"v\" does not go with this endpoint" },
	{ "unix:/x?sessions=2", "\"sessions\" does not go with this endpoint" },
	{ "mux+tcp://", "port is missing" },
	{ "mux+tcp://h:0", "port 0" },
	{ "mux+unix:", "path is missing" },
	{ "mux+unix:/%zz", "hexadecimal" },
	{ "mux+exec:cat", "unknown scheme \"mux+exec:\"" },
	{ "mux+stdio:", "unknown scheme" },
	{ "mux:tcp://:1", "unknown scheme \"mux:\"" },
	{ "mux+tcp", "colon is missing" },
	{ "mux+tls://h:1?client-ca=x", "\"client-ca\" does not go with this endpoint" },
	{ "mux+tls://h:1?w=1",
		"nodelay keepalive v sessions cert key alpn ca servername "
		"fingerprint insecure" },
	{ "listen:mux+tls://:1?sessions=2", "\"sessions\" does not go with this endpoint" },
	{ "http:/h", "\"//\" is missing: http://host:port/path" },
	{ "https:", "\"//\" is missing: https://" },
	{ "http://h:x/", "port" },
	{ "http://h:70000/", "port" },
	{ "http://a b/", "host" },
	{ "http://h/#w=1", "this endpoint has: nodelay keepalive header-file" },
	{ "http://h/#ca=x", "\"ca\" does not go with this endpoint" },
	{ "https://h/#client-ca=x", "\"client-ca\" does not go with this endpoint" },
	{ "https://h/#insecure=1&ca=x", "does not go with \"ca\"" },
	{ "https://h/#key=x", "no use without \"cert\"" },
	{ "http://user:secret@h/", "#header-file=" },
	{ "listen:http://:1/a?b", "a listener's path has no query" },
	{ "listen:http://:1/#header-file=x", "\"header-file\" does not go with this endpoint" },
	{ "listen:sse+http://:1", "listen:http:// serves HTTP+SSE, too" },
	{ "listen:ws://:1", "does not carry ws: yet" },
	{ "wss://h", "does not carry wss: yet" },
};

START_TEST(endpoints_that_do_not_parse_say_why)
{
	const struct bad_case *c = &bads[_i];
	struct endpoint e;

	ck_assert_int_eq(endpoint_parse(&e, c->text), WEFT_EINVAL);
	ck_assert_msg(strstr(weft_error_detail(), c->why), "\"%s\" gives \"%s\", without \"%s\"",
		c->text, weft_error_detail(), c->why);
}
END_TEST

struct http_case {
	const char *text;
	bool is_local;
	const char *address, *url, *path;
};

static const struct http_case https[] = {
	{ "http://h:1/a?b=c&d#nodelay=0", false, "tcp://h:1", "http://h:1/a?b=c&d", NULL },
	{ "https://h", false, "tcp://h:443", "https://h", NULL },
	{ "http://", true, "tcp://:80", "http://127.0.0.1", NULL },
	{ "http://:8/x", true, "tcp://:8", "http://127.0.0.1:8/x", NULL },
	{ "sse+https://[::1]/sse", true, "tcp://[::1]:443", "https://[::1]/sse", NULL },
	{ "listen:http://:0", true, "tcp://:0", NULL, "/mcp" },
	{ "listen:http://127.0.0.1:8080/a/b", true, "tcp://127.0.0.1:8080", NULL, "/a/b" },
	{ "listen:https://0.0.0.0/#cert=c&key=k", false, "tcp://0.0.0.0:443", NULL, "/" },
	{ "listen:http://[::]:1/mcp", false, "tcp://[::]:1", NULL, "/mcp" },
};

START_TEST(endpoints_of_http_parse)
{
	const struct http_case *c = &https[_i];
	struct endpoint e;

	ck_assert_msg(
		endpoint_parse(&e, c->text) == WEFT_OK, "%s: %s", c->text, weft_error_detail());
	ck_assert_int_eq(e.kind, ENDPOINT_HTTP);
	ck_assert(endpoint_is_messages(&e));
	ck_assert_int_eq(e.is_listener, strncmp(c->text, "listen:", 7) == 0);
	ck_assert_int_eq(e.is_local, c->is_local);
	ck_assert_int_eq(e.tls.is_on, strstr(c->text, "https") != NULL);
	ck_assert_int_eq(e.http.is_sse, strstr(c->text, "sse+") != NULL);
	ck_assert_int_eq(e.net.nodelay, strstr(c->text, "nodelay=0") == NULL);
	ck_assert_str_eq(e.address, c->address);
	ck_assert_pstr_eq(e.http.url, c->url);
	ck_assert_pstr_eq(e.http.path, c->path);
	endpoint_fini(&e);
}
END_TEST

START_TEST(options_of_tls_are_taken)
{
	struct endpoint e;

	ck_assert_int_eq(
		endpoint_parse(&e,
			"mux+tls://host.example:1?v=1&ca=/a%26%3Fb&cert=c&key=k&alpn=h2,smux&"
			"servername=x.example&nodelay=0"),
		WEFT_OK);
	ck_assert(e.tls.is_on && !e.tls.insecure && !e.net.nodelay);
	ck_assert_uint_eq(e.mux.version, 1);
	ck_assert_str_eq(e.tls.host, "host.example");
	ck_assert_str_eq(e.tls.ca, "/a&?b");
	ck_assert_str_eq(e.tls.cert, "c");
	ck_assert_str_eq(e.tls.key, "k");
	ck_assert_str_eq(e.tls.alpn, "h2,smux");
	ck_assert_str_eq(e.tls.server_name, "x.example");
	ck_assert_ptr_null(e.tls.fingerprint);
	endpoint_fini(&e);
	ck_assert_int_eq(endpoint_parse(&e, "tls://:1?insecure=1&keepalive=5"), WEFT_OK);
	ck_assert(e.tls.insecure && e.net.keepalive);
	ck_assert_str_eq(e.tls.host, "127.0.0.1");
	endpoint_fini(&e);
	ck_assert_int_eq(endpoint_parse(&e, "listen:tls://:1?client-ca=x&backlog=7"), WEFT_OK);
	ck_assert_str_eq(e.tls.client_ca, "x");
	ck_assert_uint_eq(e.net.backlog, 7);
	endpoint_fini(&e);
	ck_assert_int_eq(endpoint_parse(&e, "tcp://:1"), WEFT_OK);
	ck_assert(!e.tls.is_on);
	ck_assert_ptr_null(e.tls.host);
	endpoint_fini(&e);
}
END_TEST

START_TEST(endpoints_that_are_too_long_are_refused)
{
	char *text = calloc(1, ENDPOINT_LEN_MAX + 2);
	struct endpoint e;

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', ENDPOINT_LEN_MAX + 1);
	memcpy(text, "exec:", 5);
	ck_assert_int_eq(endpoint_parse(&e, text), WEFT_EINVAL);
	text[ENDPOINT_LEN_MAX] = '\0';
	ck_assert_int_eq(endpoint_parse(&e, text), WEFT_OK);
	endpoint_fini(&e);
	free(text);
	text = calloc(1, 200);
	ck_assert_ptr_nonnull(text);
	memset(text, 'x', 150);
	memcpy(text, "unix:/", 6);
	ck_assert_int_eq(endpoint_parse(&e, text), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "longer than 107"));
	free(text);
}
END_TEST

START_TEST(endpoints_under_failing_malloc)
{
	static const char *const texts[] = { "exec:a b", "mux+tcp://:1", "listen:unix:/x%3f",
		"tls://h:1?ca=a&cert=b&key=c&alpn=d&servername=e", "listen:tls://h:1?client-ca=a" };
	const char *const argv[] = { "a", "b", NULL };

	T_EACH_FAILING_MALLOC(n) {
		struct endpoint e = { 0 };
		weft_err err;

		for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
			err = endpoint_parse(&e, texts[i]);
			ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
			endpoint_fini(&e);
		}
		err = endpoint_command(&e, argv);
		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		endpoint_fini(&e);
	}
}
END_TEST

/* ---- pairs ---- */

struct pair_case {
	const char *from, *to;
	const char *why; /* NULL: allowed */
};

static const struct pair_case pairs[] = {
	{ "stdio:", "exec:cat", NULL },
	{ "stdio:", "tcp://:1", NULL },
	{ "listen:tcp://:0", "stdio:", NULL },
	{ "listen:unix:/x", "exec:cat", NULL },
	{ "listen:tcp://localhost:0", "exec:cat", NULL },
	{ "listen:tcp://[::1]:0", "exec:cat", NULL },
	{ "listen:tcp://0.0.0.0:0", "tcp://:1", NULL },
	{ "listen:tcp://:0", "mux+tcp://:1", NULL },
	{ "listen:mux+tcp://0.0.0.0:0", "tcp://:1", NULL },
	{ "mux+tcp://example.org:1", "tcp://:1", NULL },
	{ "mux+unix:/x", "exec:cat", NULL },
	{ "listen:tcp://:0", "listen:mux+tcp://:0", NULL },
	{ "stdio:", "mux+tcp://:1", NULL },
	{ "listen:mux+tcp://:0", "mux+tcp://:1", NULL },
	{ "mux+tcp://:1", "listen:mux+tcp://:0", NULL },
	{ NULL, "stdio:", "FROM is missing" },
	{ "stdio:", NULL, "TO is missing" },
	{ "stdio:", "stdio:", "both FROM and TO" },
	{ "exec:cat", "stdio:", "only be TO" },
	{ "tcp://:1", "stdio:", "with listen: in front" },
	{ "listen:tcp://:0", "listen:tcp://:0", "leave listen: out" },
	{ "listen:tcp://0.0.0.0:0", "exec:cat", "--insecure" },
	{ "listen:tcp://[::]:0", "exec:cat", "--insecure" },
	{ "listen:tcp://example.org:0", "exec:cat", "--insecure" },
	{ "listen:tcp://192.168.0.1:0", "exec:cat", "--insecure" },
	{ "listen:mux+tcp://0.0.0.0:0", "exec:cat", "--insecure" },
#ifdef WEFT_TLS
	{ "listen:tcp://:0", "tls://:1", NULL },
	{ "mux+tls://:1?insecure=1", "tls://:1", NULL },
	{ "tls://:1", "stdio:", "with listen: in front" },
	{ "stdio:", "listen:tls://:1", "leave listen: out" },
	{ "listen:tls://:0", "tcp://:1",
		"needs ?cert= and &key=, or, for trying out, --self-signed" },
	{ "stdio:", "listen:mux+tls://:0", "TO \"listen:mux+tls://:0\": a listener of TLS needs" },
	{ "stdio:", "tls://:1?ca=/nowhere/x", "ca_file: /nowhere/x: no such file or directory" },
	{ "stdio:", "tls://:1?ca=/", "ca_file: /: is a directory" },
	{ "stdio:", "tls://:1?ca=/dev/null", "ca_file: /dev/null: no certificate" },
	{ "stdio:", "tls://:1?alpn=a,,b", "alpn: a protocol's name has 1 to 255 bytes" },
	{ "stdio:", "tls://:1?fingerprint=md5:00", "fingerprint: is not sha256:" },
	{ "listen:tls://0.0.0.0:0", "exec:cat", "--insecure" },
	{ "listen:tls://0.0.0.0:0?client-ca=/nowhere/x", "exec:cat", "a listener of TLS needs" },
#endif
};

START_TEST(pairs_are_checked)
{
	const struct pair_case *c = &pairs[_i];
	weft_bridge_options o = WEFT_BRIDGE_OPTIONS_DEFAULT;
	weft_err err;

	o.from = c->from;
	o.to = c->to;
	err = weft_bridge_check(&o);
	ck_assert_int_eq(err, c->why ? WEFT_EINVAL : WEFT_OK);
	if (!c->why)
		return;
	ck_assert_msg(strstr(weft_error_detail(), c->why), "%s", weft_error_detail());
	o.insecure = true;
	o.self_signed = c->from && strncmp(c->from, "listen:tls:", 11) == 0;
	if (strcmp(c->why, "--insecure") == 0)
		ck_assert_int_eq(weft_bridge_check(&o), WEFT_OK);
}
END_TEST

START_TEST(options_of_a_bridge_are_checked)
{
	const weft_bridge_options fine = {
		.from = "stdio:", .to = "exec:cat", .drain_timeout_ns = -1
	};
	weft_bridge_options o = fine;

	ck_assert_int_eq(weft_bridge_check(NULL), WEFT_EINVAL);
	ck_assert_int_eq(weft_bridge_check(&fine), WEFT_OK);
	o.idle_timeout_ns = -1;
	ck_assert_int_eq(weft_bridge_check(&o), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "idle_timeout_ns"));
	o = fine;
	o.connections_max = SIZE_MAX;
	ck_assert_int_eq(weft_bridge_check(&o), WEFT_EINVAL);
	o = fine;
	o.children_max = SIZE_MAX;
	ck_assert_int_eq(weft_bridge_check(&o), WEFT_EINVAL);
	o = fine;
	o.env = (const char *const[]){ "A=1", "B", NULL };
	ck_assert_int_eq(weft_bridge_check(&o), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "\"B\" is not NAME=value"));
	o.env = (const char *const[]){ "=1", NULL };
	ck_assert_int_eq(weft_bridge_check(&o), WEFT_EINVAL);
	o.env = (const char *const[]){ "A=1", "B=", NULL };
	o.pass_env = (const char *const[]){ "C", "*", NULL };
	ck_assert_int_eq(weft_bridge_check(&o), WEFT_OK);
	o.to = "tcp://:1";
	ck_assert_int_eq(weft_bridge_check(&o), WEFT_EINVAL);
	o = fine;
	o.self_signed = true;
	ck_assert_int_eq(weft_bridge_check(&o), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "--self-signed: no listener of TLS"));
	o = fine;
	o.command = (const char *const[]){ "cat", NULL };
	ck_assert_int_eq(weft_bridge_check(&o), WEFT_EINVAL);
	o.to = NULL;
	ck_assert_int_eq(weft_bridge_check(&o), WEFT_OK);
	o.command = (const char *const[]){ NULL };
	ck_assert_int_eq(weft_bridge_check(&o), WEFT_EINVAL);
}
END_TEST

#ifdef WEFT_TLS
START_TEST(bridge_check_of_tls_under_failing_malloc)
{
	weft_bridge_options o = WEFT_BRIDGE_OPTIONS_DEFAULT;

	o.from = "listen:tls://:0?alpn=a,b";
	o.to = "mux+tls://:1?alpn=c&servername=x";
	o.self_signed = true;
	T_EACH_FAILING_MALLOC(n) {
		weft_err err = weft_bridge_check(&o);

		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		reclaim_synchronize();
	}
}
END_TEST
#endif

START_TEST(bridge_check_under_failing_malloc)
{
	weft_bridge_options o = WEFT_BRIDGE_OPTIONS_DEFAULT;

	o.from = "listen:tcp://:0";
	o.to = "exec:a b";
	o.env = (const char *const[]){ "A=1", NULL };
	o.pass_env = (const char *const[]){ "B", NULL };
	T_EACH_FAILING_MALLOC(n) {
		weft_err err = weft_bridge_check(&o);

		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
	}
}
END_TEST

#define LEN(table) ((int)(sizeof(table) / sizeof((table)[0])))

static void endpoint_tests(TCase *tc)
{
	t_add_loop(tc, words_are_split_as_a_shell_splits_them, 0, LEN(splits));
	t_add(tc, words_have_a_limit);
	t_add_loop(tc, endpoints_parse, 0, LEN(goods));
	t_add(tc, endpoint_options_are_set);
	t_add(tc, mux_options_are_set);
	t_add_loop(tc, endpoints_that_do_not_parse_say_why, 0, LEN(bads));
	t_add_loop(tc, endpoints_of_http_parse, 0, (int)(sizeof(https) / sizeof(https[0])));
	t_add(tc, options_of_tls_are_taken);
	t_add(tc, endpoints_that_are_too_long_are_refused);
	t_add(tc, endpoints_under_failing_malloc);
	t_add_loop(tc, pairs_are_checked, 0, LEN(pairs));
	t_add(tc, options_of_a_bridge_are_checked);
	t_add(tc, bridge_check_under_failing_malloc);
#ifdef WEFT_TLS
	t_add(tc, bridge_check_of_tls_under_failing_malloc);
#endif
}
T_SUITE("endpoint", endpoint_tests)
