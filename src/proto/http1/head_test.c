/* SPDX-License-Identifier: MIT */
/* Heads: what they say, at every split, by both builds of the lines; limits. */
#include "support/http1say.h"

struct head_case {
	const char *text;
	const char *says; /* as http1say.h writes it */
};

/* The head, and something behind it that is not its business. */
static const char behind[] = "\x01 not this message's";

static void same(const char *text, const struct say_how *how, const char *says)
{
	struct http1_parser p;
	static struct say got;

	say_parse(&got, &p, how, text, strlen(text));
	if (strcmp(got.text, says) != 0)
		ck_abort_msg("of: %s\nsays: %s\nnot:  %s\n(base %d, step %zu, cuts %zu %zu)", text,
			got.text, says, how->base, how->step, how->first, how->second);
	if (p.fault == HTTP1_FAULT_NONE && p.stage == 2)
		T_OUGHT(strlen(text) - p.head.size == 0 || !strcmp(text + p.head.size, behind));
}

/* Whole, by single bytes, by three, and at every two cuts that lie near each other. */
static void every_way(const char *text, const char *says, struct say_how how)
{
	size_t len = strlen(text);

	for (int base = 0; base < 2; base++) {
		how.base = base;
		how.first = how.second = 0;
		for (size_t step = 1; step <= 3; step += 2) {
			how.step = step;
			same(text, &how, says);
		}
		how.step = 0;
		for (how.first = 0; how.first <= len; how.first++) {
			for (how.second = how.first;
				how.second <= len && how.second < how.first + 3; how.second++)
				same(text, &how, says);
		}
	}
}

static void cases(const struct head_case *list, size_t count, struct say_how how)
{
	static char text[8192];

	for (size_t i = 0; i < count; i++) {
		every_way(list[i].text, list[i].says, how);
		if (list[i].says[0] == '.')
			continue;
		snprintf(text, sizeof(text), "%s%s", list[i].text, behind);
		every_way(text, list[i].says, how);
	}
}

#define CASES(list, ...) \
	cases((list), sizeof(list) / sizeof((list)[0]), (struct say_how){ __VA_ARGS__ })
#define H "Host: a\r\n"
#define HOST "Host=a"

START_TEST(http1_requests_are_taken_apart)
{
	static const struct head_case list[] = {
		{ "GET / HTTP/1.1\r\n" H "\r\n", "GET / 1.1 to=a none keep [Host=a]" },
		{ "GET /a?b=c&d HTTP/1.1\r\nhost:a.b:80\r\n\r\n",
			"GET /a?b=c&d 1.1 to=a.b:80 none keep [host=a.b:80]" },
		{ "HEAD / HTTP/1.1\r\nHOST:\ta \t \r\n\r\n", "HEAD / 1.1 to=a none keep [HOST=a]" },
		{ "PUT /x HTTP/1.1\r\n" H "X-Empty:\r\nX-Blank: \t \r\nY: a  b\tc\r\n\r\n",
			"PUT /x 1.1 to=a none keep [Host=a|X-Empty=|X-Blank=|Y=a  b\tc]" },
		{ "DELETE /~a/%7e!$&'()*+,;=:@[]{}|\\^` HTTP/1.1\r\n" H "\r\n",
			"DELETE /~a/%7e!$&'()*+,;=:@[]{}|\\^` 1.1 to=a none keep [Host=a]" },
		{ "TRACE /a HTTP/1.1\r\n" H "\r\n", "TRACE /a 1.1 to=a none keep [Host=a]" },
		{ "PATCH /a HTTP/1.1\r\n" H "\r\n", "PATCH /a 1.1 to=a none keep [Host=a]" },
		{ "M-SEARCH * HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "M-SEARCH /a HTTP/1.1\r\n" H "\r\n", "M-SEARCH /a 1.1 to=a none keep [Host=a]" },
		{ "get /a HTTP/1.1\r\n" H "\r\n", "get /a 1.1 to=a none keep [Host=a]" },
		{ "!#$%&'*+-.^_`|~09azAZ /a HTTP/1.1\r\n" H "\r\n",
			"!#$%&'*+-.^_`|~09azAZ /a 1.1 to=a none keep [Host=a]" },
		{ "GET /?a=\r\n", "!VERSION_TEXT" },
		{ "GET / HTTP/1.1\r\n!#$%&'*+-.^_`|~09azAZ: v\r\n" H "\r\n",
			"GET / 1.1 to=a none keep [!#$%&'*+-.^_`|~09azAZ=v|Host=a]" },
		{ "GET / HTTP/1.1\r\nA: \x80\xff\xe2\x82\xac\r\n" H "\r\n",
			"GET / 1.1 to=a none keep [A=\x80\xff\xe2\x82\xac|Host=a]" },
		/* begins of names that are known, which fall into their slots */
		{ "GET / HTTP/1.1\r\n" H "Content: 1\r\nSet-: 2\r\nMcp-Ses: 3\r\n\r\n",
			"GET / 1.1 to=a none keep [Host=a|Content=1|Set-=2|Mcp-Ses=3]" },
		{ "GET / HTTP/1.1\r\nA:b:c\r\nD: :\r\n" H "\r\n",
			"GET / 1.1 to=a none keep [A=b:c|D=:|Host=a]" },
	};

	CASES(list, .kind = HTTP1_REQUEST);
}
END_TEST

START_TEST(http1_empty_lines_before_a_request_are_passed_over)
{
	static const struct head_case list[] = {
		{ "\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET / 1.1 to=a none keep [Host=a]" },
		{ "\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n",
			"GET / 1.1 to=a none keep [Host=a]" },
		{ "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", "!BLANK_LINES" },
		{ "\nGET / HTTP/1.1\r\n" H "\r\n", "!LINE_END" },
		{ "\r\n\nGET / HTTP/1.1\r\n" H "\r\n", "!LINE_END" },
		{ "\rGET / HTTP/1.1\r\n" H "\r\n", "!LINE_END" },
		{ "\r\r\nGET / HTTP/1.1\r\n" H "\r\n", "!LINE_END" },
		{ "\r\n GET / HTTP/1.1\r\n" H "\r\n", "!METHOD" },
	};

	CASES(list, .kind = HTTP1_REQUEST);
}
END_TEST

START_TEST(http1_start_lines_of_requests_are_refused)
{
	static const struct head_case list[] = {
		{ " GET / HTTP/1.1\r\n" H "\r\n", "!METHOD" },
		{ "GET\t/ HTTP/1.1\r\n" H "\r\n", "!METHOD" },
		{ "G@T / HTTP/1.1\r\n" H "\r\n", "!METHOD" },
		{ "GET\x80 / HTTP/1.1\r\n" H "\r\n", "!METHOD" },
		{ "GET\x01 / HTTP/1.1\r\n" H "\r\n", "!METHOD" },
		{ "GET\r\n\r\n", "!METHOD" },
		{ "GET\n\n", "!LINE_END" },
		{ "\"GET\" / HTTP/1.1\r\n" H "\r\n", "!METHOD" },
		{ "GET:/ HTTP/1.1\r\n" H "\r\n", "!METHOD" },
		{ "\x16\x03\x01\x02", "!METHOD" }, /* TLS */
		{ "{\"jsonrpc\":\"2.0\"}", "!METHOD" },
		{ "A234567890123456789012345678901 / HTTP/1.1\r\n" H "\r\n",
			"A234567890123456789012345678901 / 1.1 to=a none keep [Host=a]" },
		{ "A2345678901234567890123456789012 / HTTP/1.1\r\n" H "\r\n",
			"A2345678901234567890123456789012 / 1.1 to=a none keep [Host=a]" },
		{ "A23456789012345678901234567890123 / HTTP/1.1\r\n" H "\r\n", "!METHOD_LONG" },
		{ "GET  / HTTP/1.1\r\n" H "\r\n", "!TARGET" },
		{ "GET /\t HTTP/1.1\r\n" H "\r\n", "!TARGET" },
		{ "GET /a#b HTTP/1.1\r\n" H "\r\n", "!TARGET" },
		{ "GET /\"a\" HTTP/1.1\r\n" H "\r\n", "!TARGET" },
		{ "GET /<a HTTP/1.1\r\n" H "\r\n", "!TARGET" },
		{ "GET /a> HTTP/1.1\r\n" H "\r\n", "!TARGET" },
		{ "GET /\x7f HTTP/1.1\r\n" H "\r\n", "!TARGET" },
		{ "GET /\x80 HTTP/1.1\r\n" H "\r\n", "!TARGET" },
		{ "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", "!TARGET" },
		{ "GET /\x01 HTTP/1.1\r\n" H "\r\n", "!TARGET" },
		{ "GET \r\n\r\n", "!TARGET" },
		{ "GET /\r\n\r\n", "!VERSION_TEXT" }, /* HTTP/0.9 */
		{ "GET /\n\n", "!LINE_END" },
		{ "GET / \r\n\r\n", "!VERSION_TEXT" },
		{ "GET / a HTTP/1.1\r\n" H "\r\n", "!VERSION_TEXT" },
		{ "GET /  HTTP/1.1\r\n" H "\r\n", "!VERSION_TEXT" },
		{ "GET / HTTP/1.1 \r\n" H "\r\n", "!VERSION_TEXT" },
		{ "GET / http/1.1\r\n" H "\r\n", "!VERSION_TEXT" },
		{ "GET / IHTTP/1.0\r\n" H "\r\n", "!VERSION_TEXT" },
		{ "GET / ICE/1.0\r\n" H "\r\n", "!VERSION_TEXT" },
		{ "PUT / RTSP/1.0\r\n" H "\r\n", "!VERSION_TEXT" },
		{ "GET / HTTP 1.1\r\n" H "\r\n", "!VERSION_TEXT" },
		{ "GET / HTTP/1\r\n" H "\r\n", "!VERSION_TEXT" },
		{ "GET / HTTP/11.1\r\n" H "\r\n", "!VERSION_TEXT" },
		{ "GET / HTTP/1.11\r\n" H "\r\n", "!VERSION_TEXT" },
		{ "GET / HTTP/1.x\r\n" H "\r\n", "!VERSION_TEXT" },
		{ "GET / HTTP/1.2\r\n" H "\r\n", "!VERSION" },
		{ "GET / HTTP/0.9\r\n" H "\r\n", "!VERSION" },
		{ "GET / HTTP/5.6\r\n" H "\r\n", "!VERSION" },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!VERSION" },
		{ "GET / HTTP/1.1\n" H "\r\n", "!LINE_END" },
		{ "GET / HTTP/1.1\r" H "\r\n", "!LINE_END" },
		{ "GET / HTTP/1.1\r\r\n" H "\r\n", "!LINE_END" },
		{ "GET / HTTP/1.1\n\n", "!LINE_END" },
		{ "GET / HTTP/\n", "!LINE_END" },
	};

	CASES(list, .kind = HTTP1_REQUEST);
}
END_TEST

START_TEST(http1_field_lines_are_refused)
{
	static const struct head_case list[] = {
		{ "GET / HTTP/1.1\r\nFo@: b\r\n\r\n", "!NAME" },
		{ "GET / HTTP/1.1\r\nFo\x01o: b\r\n\r\n", "!NAME" },
		{ "GET / HTTP/1.1\r\nFo\x80: b\r\n\r\n", "!NAME" },
		{ "GET / HTTP/1.1\r\n: b\r\n\r\n", "!NAME" },
		{ "GET / HTTP/1.1\r\nname\r\n\r\n", "!NAME" },
		{ "GET / HTTP/1.1\r\nname\r\n : value\r\n\r\n", "!NAME" },
		{ "GET / HTTP/1.1\r\n(a): b\r\n\r\n", "!NAME" },
		{ "GET / HTTP/1.1\r\na,b: b\r\n\r\n", "!NAME" },
		{ "GET / HTTP/1.1\r\na[b: b\r\n\r\n", "!NAME" },
		{ "GET / HTTP/1.1\r\na/b: b\r\n\r\n", "!NAME" },
		{ "GET / HTTP/1.1\r\n" H "\r\x1b\x35\xd5: b\r\n\r\n", "!LINE_END" },
		{ "GET / HTTP/1.1\r\n" H "Connection\r\x1b\x35\xd5: b\r\n\r\n", "!NAME" },
		{ "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "!NAME_SPACE" },
		{ "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", "!NAME_SPACE" },
		{ "GET / HTTP/1.1\r\nContent-Length : 3\r\n\r\n", "!NAME_SPACE" },
		{ "GET / HTTP/1.1\r\nno colon here\r\n\r\n", "!NAME_SPACE" },
		{ "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "!FOLD" },
		{ "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", "!FOLD" },
		{ "GET / HTTP/1.1\r\n" H " folded\r\n\r\n", "!FOLD" },
		{ "GET / HTTP/1.1\r\n" H "\tfolded\r\n\r\n", "!FOLD" },
		{ "GET / HTTP/1.1\r\n" H "X:\r\n folded\r\n\r\n", "!FOLD" },
		{ "GET / HTTP/1.1\r\n" H " Content-Length: 38\r\n\r\n", "!FOLD" },
		{ "GET / HTTP/1.1\r\n" H " \r\n\r\n", "!FOLD" },
		{ "GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", "!LINE_END" },
		{ "GET / HTTP/1.1\r\nA:\nC: d\r\n\r\n", "!LINE_END" },
		{ "GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n", "!LINE_END" },
		{ "GET / HTTP/1.1\r\nA:\rC: d\r\n\r\n", "!LINE_END" },
		{ "GET / HTTP/1.1\r\nA: b\r\r\n\r\n", "!LINE_END" },
		{ "GET / HTTP/1.1\r\nA: b\r \nC: d\r\n\r\n", "!LINE_END" },
		{ "GET / HTTP/1.1\r\n" H "\rZGET /evil: HTTP/1.1\r\n\r\n", "!LINE_END" },
		{ "GET / HTTP/1.1\r\n" H "\n", "!LINE_END" },
		{ "GET / HTTP/1.1\r\n" H "\r\r\n", "!LINE_END" },
		{ "GET / HTTP/1.1\r\na\nb: c\r\n\r\n", "!LINE_END" },
		{ "GET / HTTP/1.1\r\nA: b\n\nC: d\r\n\r\n", "!LINE_END" },
		{ "GET / HTTP/1.1\r\nA: b\x01\nC: d\r\n\r\n", "!VALUE" },
		{ "GET / HTTP/1.1\r\nA: b\x7f\nC: d\r\n\r\n", "!VALUE" },
		{ "GET / HTTP/1.1\r\nA: \x01\r\n\r\n", "!VALUE" },
		{ "GET / HTTP/1.1\r\nA: b\x0b\r\n\r\n", "!VALUE" },
		{ "GET / HTTP/1.1\r\nA: b\x0c\r\n\r\n", "!VALUE" },
		{ "GET / HTTP/1.1\r\nA: b\x1f\x63\r\n\r\n", "!VALUE" },
		{ "GET / HTTP/1.1\r\nA: b\x7f\x63\r\n\r\n", "!VALUE" },
		{ "GET / HTTP/1.1\r\n" H "Tail: 1\r\n", "..." },
		{ "GET / HTTP/1.1\r\n" H "Tail: 1", "..." },
		{ "GET / HTTP/1.1\r\n" H "Tai", "..." },
		{ "GET / HTTP/1.1\r\n", "..." },
		{ "GET / HTT", "..." },
		{ "GET", "..." },
	};

	CASES(list, .kind = HTTP1_REQUEST);
}
END_TEST

/* Each of the 256 bytes at each kind of place, by a second opinion of what may be there. */
START_TEST(http1_every_byte_at_every_place)
{
	static const char *const places[] = { "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /@ HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nA@: b\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nA: b@b\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nBehind-thirty-two-more-bytes-of-na@e: b\r\n\r\n",
		("GET / HTTP/1.1\r\nHost: a\r\nA: sixty-four bytes of value, and then the one that "
		 "is looked at, is here @\r\n\r\n") };
	static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static struct say got;
	char text[200];

	for (int c = 0; c < 256; c++) {
		bool is_token = c && strchr(token, c);
		bool is_target = c > ' ' && c < 0x7f && !strchr("\"<>#", c);
		bool is_value = c == '\t' || (c >= ' ' && c != 0x7f);
		/* a colon ends the name; a blank, the method or the target: something else is
		 * wrong then, or nothing */
		bool right[6] = { is_token, is_target, is_token || c == ':', is_value,
			is_token || c == ':', is_value };

		for (size_t place = 0; place < 6; place++) {
			int len = snprintf(text, sizeof(text), "%s", places[place]);

			*strchr(text, '@') = (char)c;
			for (int base = 0; base < 2; base++) {
				struct say_how how = {
					.kind = HTTP1_REQUEST, .base = base, .first = (size_t)len
				};
				struct http1_parser p;

				say_parse(&got, &p, &how, text, (size_t)len);
				if ((p.fault == HTTP1_FAULT_NONE) != right[place])
					ck_abort_msg("byte %d at %zu: %s", c, place, got.text);
			}
		}
	}
}
END_TEST

START_TEST(http1_targets_have_four_forms)
{
	static const struct head_case list[] = {
		{ "OPTIONS * HTTP/1.1\r\n" H "\r\n",
			"OPTIONS * 1.1 asterisk to=a none keep [Host=a]" },
		{ "OPTIONS /a HTTP/1.1\r\n" H "\r\n", "OPTIONS /a 1.1 to=a none keep [Host=a]" },
		{ "OPTIONS ** HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "GET * HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "GET a HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "GET ?a HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "GET //a/b HTTP/1.1\r\n" H "\r\n", "GET //a/b 1.1 to=a none keep [Host=a]" },
		{ "GET http://b/c?d HTTP/1.1\r\n" H "\r\n",
			"GET http://b/c?d 1.1 absolute to=b path=/c?d none keep [Host=a]" },
		{ "GET HTTPS://B:8/ HTTP/1.1\r\n" H "\r\n",
			"GET HTTPS://B:8/ 1.1 absolute to=B:8 path=/ none keep [Host=a]" },
		{ "GET http://b HTTP/1.1\r\n" H "\r\n",
			"GET http://b 1.1 absolute to=b path= none keep [Host=a]" },
		{ "GET http://b?c HTTP/1.1\r\n" H "\r\n",
			"GET http://b?c 1.1 absolute to=b path=?c none keep [Host=a]" },
		{ "GET http://b:1234?c=? HTTP/1.1\r\n" H "\r\n",
			"GET http://b:1234?c=? 1.1 absolute to=b:1234 path=?c=? none keep [Host=a]" },
		{ "GET http://b:1234 HTTP/1.1\r\n" H "\r\n",
			"GET http://b:1234 1.1 absolute to=b:1234 path= none keep [Host=a]" },
		{ "GET http://[::1]:80/ HTTP/1.0\r\n\r\n",
			"GET http://[::1]:80/ 1.0 absolute to=[::1]:80 path=/ none []" },
		{ "GET http:///c HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "GET http://:80/c HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "GET http://u@b/c HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "GET http://b:99999/c HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "GET http://b:8o/c HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "GET ftp://b/c HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "GET http:/b HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "GET http HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "CONNECT b:443 HTTP/1.1\r\n" H "\r\n",
			"CONNECT b:443 1.1 authority to=b:443 path= tunnel keep [Host=a]" },
		{ "CONNECT [::1]:443 HTTP/1.0\r\n\r\n",
			"CONNECT [::1]:443 1.0 authority to=[::1]:443 path= tunnel []" },
		{ "CONNECT home_0.B.example:443 HTTP/1.0\r\n\r\n",
			"CONNECT home_0.B.example:443 1.0 authority to=home_0.B.example:443 path= "
			"tunnel []" },
		{ "CONNECT b HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "CONNECT b: HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "CONNECT :443 HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "CONNECT [::1] HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "CONNECT /a HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "CONNECT http://b/ HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "CONNECT u@b:443 HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
		{ "CONNECT * HTTP/1.1\r\n" H "\r\n", "!TARGET_FORM" },
	};

	CASES(list, .kind = HTTP1_REQUEST);
}
END_TEST

START_TEST(http1_host_is_there_once_and_right)
{
	static const struct head_case list[] = {
		{ "GET / HTTP/1.1\r\n\r\n", "!HOST_NONE" },
		{ "GET / HTTP/1.0\r\n\r\n", "GET / 1.0 none []" },
		{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / 1.1 none keep [Host=]" },
		{ "GET / HTTP/1.1\r\n" H "host: a\r\n\r\n", "!HOST_MANY" },
		{ "GET / HTTP/1.0\r\n" H "host: a\r\n\r\n", "!HOST_MANY" },
		{ "GET http://b/ HTTP/1.1\r\n\r\n", "!HOST_NONE" },
		{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
			"GET / 1.1 to=a,b none keep [Host=a,b]" }, /* a reg-name may have it */
		{ "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: 0.0.0.0=5000\r\n\r\n",
			"GET / 1.1 to=0.0.0.0=5000 none keep [Host=0.0.0.0=5000]" },
		{ "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "GET / 1.1 to=a: none keep [Host=a:]" },
		{ "GET / HTTP/1.1\r\nHost: a:65535\r\n\r\n",
			"GET / 1.1 to=a:65535 none keep [Host=a:65535]" },
		{ "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: a:080000\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: [::1]:8\r\n\r\n",
			"GET / 1.1 to=[::1]:8 none keep [Host=[::1]:8]" },
		{ "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: []\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: [a]b]\r\n\r\n", "!HOST" },
		{ "GET / HTTP/1.1\r\nHost: [a/b]\r\n\r\n", "!HOST" },
	};

	CASES(list, .kind = HTTP1_REQUEST);
}
END_TEST

#define POST "POST / HTTP/1.1\r\n" H
#define POSTED "POST / 1.1 to=a "
#define POST10 "POST / HTTP/1.0\r\n"

START_TEST(http1_content_length_is_one_number)
{
	static const struct head_case list[] = {
		{ POST "Content-Length: 5\r\n\r\n",
			POSTED "length=5 keep [Host=a|Content-Length=5]" },
		{ POST "Content-Length: 0\r\n\r\n",
			POSTED "none=0 keep [Host=a|Content-Length=0]" },
		{ POST "CONTENT-LENGTH:\t005  \r\n\r\n",
			POSTED "length=5 keep [Host=a|CONTENT-LENGTH=005]" },
		{ POST "Content-Length: 9223372036854775807\r\n\r\n",
			POSTED "length=9223372036854775807 keep "
			       "[Host=a|Content-Length=9223372036854775807]" },
		{ POST "Content-Length: 9223372036854775808\r\n\r\n", "!LENGTH_LARGE" },
		{ POST "Content-Length: 9999999999999999999\r\n\r\n", "!LENGTH_LARGE" },
		{ POST "Content-Length: 18446744073709551621\r\n\r\n", "!LENGTH_LARGE" },
		{ POST "Content-Length: 00000000000000000005\r\n\r\n", "!LENGTH_LARGE" },
		{ POST "Content-Length: 5\t\r\n\r\n", "!LENGTH" },
		{ POST "Content-Length:\r\n\r\n", "!LENGTH" },
		{ POST "Content-Length: +5\r\n\r\n", "!LENGTH" },
		{ POST "Content-Length: -5\r\n\r\n", "!LENGTH" },
		{ POST "Content-Length: -0\r\n\r\n", "!LENGTH" },
		{ POST "Content-Length: 0x5\r\n\r\n", "!LENGTH" },
		{ POST "Content-Length: 5a\r\n\r\n", "!LENGTH" },
		{ POST "Content-Length: 5 5\r\n\r\n", "!LENGTH" },
		{ POST "Content-Length: 4\t2\r\n\r\n", "!LENGTH" },
		{ POST "Content-Length: 5, 5\r\n\r\n", "!LENGTH" },
		{ POST "Content-Length: 5,6\r\n\r\n", "!LENGTH" },
		{ POST "Content-Length: 5.0\r\n\r\n", "!LENGTH" },
		{ POST "Content-Length: 5;\r\n\r\n", "!LENGTH" },
		{ POST "Content-Length: \xd9\xa5\r\n\r\n", "!LENGTH" },
		{ POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "!LENGTH_MANY" },
		{ POST "Content-Length: 5\r\ncontent-length: 6\r\n\r\n", "!LENGTH_MANY" },
		{ POST "Content-Length : 5\r\n\r\n", "!NAME_SPACE" },
		{ POST "Content_Length: 5\r\n\r\n", POSTED "none keep [Host=a|Content_Length=5]" },
		{ POST10 "Content-Length: 5\r\n\r\n", "POST / 1.0 length=5 [Content-Length=5]" },
		{ "CONNECT a:1 HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", "!CONNECT_BODY" },
		{ "CONNECT a:1 HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n",
			"CONNECT a:1 1.1 authority to=a:1 path= tunnel=0 keep [Host=a|Content-Length=0]" },
	};

	CASES(list, .kind = HTTP1_REQUEST);
}
END_TEST

#define TE "Transfer-Encoding: "
#define TES "Transfer-Encoding="

START_TEST(http1_transfer_encoding_is_chunked_or_refused)
{
	static const struct head_case list[] = {
		{ POST TE "chunked\r\n\r\n", POSTED "chunked keep [Host=a|" TES "chunked]" },
		{ POST TE " \tChunKed \r\n\r\n", POSTED "chunked keep [Host=a|" TES "ChunKed]" },
		{ POST TE "\r\n\r\n", "!CODING" },
		{ POST TE "identity\r\n\r\n", "!CODING" },
		{ POST TE "pigeons\r\n\r\n", "!CODING" },
		{ POST TE "gzip\r\n\r\n", "!CODING" },
		{ POST TE "gzip, chunked\r\n\r\n", "!CODING_UNKNOWN" },
		{ POST TE "chunked, gzip\r\n\r\n", "!CODING" },
		{ POST TE "chunked, chunked\r\n\r\n", "!CODING" },
		{ POST TE "chunked,gzip,chunked\r\n\r\n", "!CODING" },
		{ POST TE ", chunked\r\n\r\n", "!CODING" },
		{ POST TE "chunked,\r\n\r\n", "!CODING" },
		{ POST TE "chunked\t\r\n\r\n", "!CODING" },
		{ POST TE "chunked \t \r\n\r\n", "!CODING" },
		{ POST TE "chunked;a=b\r\n\r\n", "!CODING" },
		{ POST TE "\"chunked\"\r\n\r\n", "!CODING" },
		{ POST TE "chunked-false\r\n\r\n", "!CODING" },
		{ POST TE "chunkedchunked\r\n\r\n", "!CODING" },
		{ POST TE "\r\n" TE "\r\nContent-Length: 5\r\n\r\n", "!LENGTH_CODING" },
		{ POST TE "xchunked\r\n\r\n", "!CODING" },
		{ POST TE "chunke\r\n\r\n", "!CODING" },
		{ POST TE "chunke d\r\n\r\n", "!CODING" },
		{ POST TE "\x0b"
			  "chunked\r\n\r\n",
			"!VALUE" },
		{ POST TE "chunked\r\n" TE "chunked\r\n\r\n", "!CODING" },
		{ POST TE "chunked\r\n" TE "identity\r\n\r\n", "!CODING" },
		{ POST TE "gzip\r\n" TE "chunked\r\n\r\n", "!CODING" },
		{ POST TE "chunked\r\nContent-Length: 5\r\n\r\n", "!LENGTH_CODING" },
		{ POST "Content-Length: 5\r\n" TE "chunked\r\n\r\n", "!LENGTH_CODING" },
		{ POST "Content-Length: 0\r\n" TE "chunked\r\n\r\n", "!LENGTH_CODING" },
		{ POST TE "identity\r\nContent-Length: 5\r\n\r\n", "!LENGTH_CODING" },
		{ POST TE "\r\nContent-Length: 5\r\n\r\n", "!LENGTH_CODING" },
		{ POST10 TE "chunked\r\n\r\n", "!CODING_VERSION" },
		{ POST10 TE "chunked\r\nContent-Length: 5\r\n\r\n", "!CODING_VERSION" },
		{ "GET / HTTP/1.1\r\n" H TE "chunked\r\n\r\n",
			"GET / 1.1 to=a chunked keep [Host=a|" TES "chunked]" },
		{ "CONNECT a:1 HTTP/1.1\r\n" H TE "chunked\r\n\r\n", "!CONNECT_BODY" },
	};

	CASES(list, .kind = HTTP1_REQUEST);
}
END_TEST

#define GET1 "GET / HTTP/1.1\r\n" H
#define GOT1 "GET / 1.1 to=a none"
#define GET0 "GET / HTTP/1.0\r\n"
#define GOT0 "GET / 1.0 none"
#define C "Connection: "

START_TEST(http1_connection_decides_what_follows)
{
	static const struct head_case list[] = {
		{ GET1 C "close\r\n\r\n", GOT1 " [Host=a|Connection=close]" },
		{ GET1 C "CLOSE\r\n\r\n", GOT1 " [Host=a|Connection=CLOSE]" },
		{ GET1 C "keep-alive\r\n\r\n", GOT1 " keep [Host=a|Connection=keep-alive]" },
		{ GET1 C "keep-alive, close\r\n\r\n",
			GOT1 " [Host=a|Connection=keep-alive, close]" },
		{ GET1 C "te\r\nA: b\r\n" C "x,close ,y\r\n\r\n",
			GOT1 " [Host=a|Connection=te|A=b|Connection=x,close ,y]" },
		{ GET1 C "closed\r\n\r\n", GOT1 " keep [Host=a|Connection=closed]" },
		{ GET1 C "\"a,close\"\r\n\r\n", GOT1 " keep [Host=a|Connection=\"a,close\"]" },
		{ GET1 C ",,\t,\r\n\r\n", GOT1 " keep [Host=a|Connection=,,\t,]" },
		{ GET1 "Proxy-" C "close\r\n\r\n", GOT1 " keep [Host=a|Proxy-Connection=close]" },
		{ GET0 "\r\n", GOT0 " []" },
		{ GET0 C "Keep-Alive\r\n\r\n", GOT0 " keep [Connection=Keep-Alive]" },
		{ GET0 C "keep-alive, close\r\n\r\n", GOT0 " [Connection=keep-alive, close]" },
		{ GET0 C "a\r\n\r\n", GOT0 " [Connection=a]" },
		{ GET1 C "Upgrade\r\nUpgrade: websocket\r\n\r\n",
			GOT1 " keep upgrade [Host=a|Connection=Upgrade|Upgrade=websocket]" },
		{ GET1 C "keep-alive, upgrade\r\nUpgrade: a\r\n\r\n",
			GOT1 " keep upgrade [Host=a|Connection=keep-alive, upgrade|Upgrade=a]" },
		{ GET1 C "upgrade\r\n\r\n", GOT1 " keep [Host=a|Connection=upgrade]" },
		{ GET1 C "upgrade\r\nUpgrade:\r\n\r\n",
			GOT1 " keep [Host=a|Connection=upgrade|Upgrade=]" },
		{ GET1 "Upgrade: a\r\n\r\n", GOT1 " keep [Host=a|Upgrade=a]" },
		{ GET0 C "upgrade\r\nUpgrade: a\r\n\r\n", GOT0 " [Connection=upgrade|Upgrade=a]" },
		{ POST C "upgrade\r\nUpgrade: a\r\nContent-Length: 3\r\n\r\n",
			POSTED "length=3 keep upgrade "
			       "[Host=a|Connection=upgrade|Upgrade=a|Content-Length=3]" },
		{ POST "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n",
			POSTED
			"length=3 keep expect [Host=a|Content-Length=3|Expect=100-continue]" },
		{ POST "Expect: 100-Continue\r\n\r\n",
			POSTED "none keep expect [Host=a|Expect=100-Continue]" },
		{ POST "Expect: 200-ok\r\n\r\n",
			POSTED "none keep expect-other [Host=a|Expect=200-ok]" },
		{ POST "Expect: 100-continue, a\r\n\r\n",
			POSTED "none keep expect expect-other [Host=a|Expect=100-continue, a]" },
		{ POST "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n",
			POSTED "none keep expect expect-other "
			       "[Host=a|Expect=100-continue|Expect=100-continue]" },
		{ POST10 "Expect: 100-continue\r\n\r\n", "POST / 1.0 none [Expect=100-continue]" },
	};

	CASES(list, .kind = HTTP1_REQUEST);
}
END_TEST

START_TEST(http1_responses_are_taken_apart)
{
	static const struct head_case list[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
			"1.1 200 'OK' length=3 keep [Content-Length=3]" },
		{ "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
			"1.1 200 '' none=0 keep [Content-Length=0]" },
		{ "HTTP/1.1 200\r\n\r\n", "1.1 200 '' close []" },
		{ "HTTP/1.1 200  OK \t\r\n\r\n", "1.1 200 ' OK \t' close []" },
		{ "HTTP/1.1 404 Nicht \xc3\xbc"
		  "brig\r\n\r\n",
			"1.1 404 'Nicht \xc3\xbc"
			"brig' close []" },
		{ "HTTP/1.1 999 !\r\n\r\n", "1.1 999 '!' close []" },
		{ "HTTP/1.1 200 OK\r\n" TE "chunked\r\n\r\n",
			"1.1 200 'OK' chunked keep [" TES "chunked]" },
		{ "HTTP/1.1 200 OK\r\n" TE "gzip\r\n\r\n", "!CODING" },
		{ "HTTP/1.1 200 OK\r\n" TE "chunked, deflate\r\n\r\n", "!CODING" },
		{ "HTTP/1.1 200 OK\r\n" TE "chunked\r\n" TE "identity\r\n\r\n", "!CODING" },
		{ "HTTP/1.1 200 OK\r\n" TE "chunkedchunked\r\n\r\n", "!CODING" },
		{ "HTTP/1.1 200 OK\r\n" TE "chunked\r\n  abc\r\n\r\n", "!FOLD" },
		{ "HTTP/1.1 200 OK\r\n" TE "\r\nContent-Length: 5\r\n\r\n", "!LENGTH_CODING" },
		{ "HTTP/1.1 200 OK\r\nContent-Length-X: 0\r\n" TE "chunked\r\n\r\n",
			"1.1 200 'OK' chunked keep [Content-Length-X=0|" TES "chunked]" },
		{ "HTTP/1.0 301 Moved\r\nPragma: \r\nLocation: a\r\nContent-Length:  0  \r\n\r\n",
			"1.0 301 'Moved' none=0 [Pragma=|Location=a|Content-Length=0]" },
		{ "HTTP/1.1 200 OK\r\nen-US Content-Type: a\r\n\r\n", "!NAME_SPACE" },
		{ "HTTP/1.1 200 OK\r\nDCLK_imp: v7;x\r\nX-$a: 1\r\n.et-Cookie: a=b; c\r\n\r\n",
			"1.1 200 'OK' close [DCLK_imp=v7;x|X-$a=1|.et-Cookie=a=b; c]" },
		{ "HTTP/1.1 200 OK\r\nProxy-" C "close\r\nContent-Length: 11\r\n\r\n",
			"1.1 200 'OK' length=11 keep [Proxy-Connection=close|Content-Length=11]" },
		{ "HTTP/1.1 200 OK\r\n" TE "gzip, chunked\r\n\r\n", "!CODING_UNKNOWN" },
		{ "HTTP/1.1 200 OK\r\n" TE "chunked\r\nContent-Length: 3\r\n\r\n",
			"!LENGTH_CODING" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
			"!LENGTH_MANY" },
		{ "HTTP/1.0 200 OK\r\n" TE "chunked\r\n\r\n", "!CODING_VERSION" },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n",
			"1.0 200 'OK' length=3 [Content-Length=3]" },
		{ "HTTP/1.0 200 OK\r\n" C "keep-alive\r\nContent-Length: 3\r\n\r\n",
			"1.0 200 'OK' length=3 keep [Connection=keep-alive|Content-Length=3]" },
		{ "HTTP/1.0 200 OK\r\n" C "keep-alive\r\n\r\n",
			"1.0 200 'OK' close [Connection=keep-alive]" },
		{ "HTTP/1.1 200 OK\r\n" C "close\r\nContent-Length: 3\r\n\r\n",
			"1.1 200 'OK' length=3 [Connection=close|Content-Length=3]" },
		{ "HTTP/1.1 100 Continue\r\n\r\n", "1.1 100 'Continue' none keep []" },
		{ "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
			"1.1 103 'Early Hints' none keep [Link=a]" },
		{ "HTTP/1.1 204 No\r\n\r\n", "1.1 204 'No' none keep []" },
		{ "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n",
			"1.1 204 'No' none=0 keep [Content-Length=0]" },
		{ "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n",
			"1.1 204 'No' none=5 [Content-Length=5]" },
		{ "HTTP/1.1 204 No\r\n" TE "chunked\r\n\r\n",
			"1.1 204 'No' none [" TES "chunked]" },
		{ "HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n",
			"1.1 304 'Same' none=5 keep [Content-Length=5]" },
		{ "HTTP/1.1 304 Same\r\n" TE "chunked\r\n\r\n",
			"1.1 304 'Same' none keep [" TES "chunked]" },
		{ "HTTP/1.1 101 Go\r\n" C "upgrade\r\nUpgrade: a\r\n\r\n",
			"1.1 101 'Go' tunnel keep upgrade [Connection=upgrade|Upgrade=a]" },
		{ "HTTP/1.1 101 Go\r\n" C "upgrade\r\nUpgrade: a\r\nContent-Length: 4\r\n\r\n",
			"1.1 101 'Go' tunnel=4 keep upgrade "
			"[Connection=upgrade|Upgrade=a|Content-Length=4]" },
		{ "HTTP/1.1 101 Go\r\n" C "upgrade\r\nUpgrade: a\r\n" TE "chunked\r\n\r\n",
			"1.1 101 'Go' tunnel keep upgrade "
			"[Connection=upgrade|Upgrade=a|" TES "chunked]" },
		{ "HTTP/1.1 200 OK\r\n" C "upgrade\r\nUpgrade: a\r\n\r\n",
			"1.1 200 'OK' close upgrade [Connection=upgrade|Upgrade=a]" },
		{ "HTTP/1.1 200 OK\r\n" C "upgrade\r\nUpgrade: a\r\nContent-Length: 4\r\n\r\n",
			"1.1 200 'OK' length=4 keep upgrade "
			"[Connection=upgrade|Upgrade=a|Content-Length=4]" },
		{ "HTTP/1.1 204 No\r\n" C "close\r\n\r\n", "1.1 204 'No' none [Connection=close]" },
		{ "HTTP/1.0 204 No\r\n" C "keep-alive\r\n\r\n",
			"1.0 204 'No' none keep [Connection=keep-alive]" },
		{ "HTTP/1.1 101 Go\r\nUpgrade: a\r\n\r\n", "!UPGRADE" },
		{ "HTTP/1.1 101 Go\r\n\r\n", "!UPGRADE" },
		{ "HTTP/1.0 101 Go\r\n" C "upgrade\r\nUpgrade: a\r\n\r\n", "!UPGRADE" },
		{ "HTTP/1.1 200 OK\r\n" H H "\r\n", "1.1 200 'OK' close [Host=a|Host=a]" },
	};

	CASES(list, .kind = HTTP1_RESPONSE, .answers = HTTP1_METHOD_GET);
}
END_TEST

START_TEST(http1_status_lines_are_refused)
{
	static const struct head_case list[] = {
		{ "HTP/1.1 200 OK\r\n\r\n", "!VERSION_TEXT" },
		{ "HTTP/01.1 200 OK\r\n\r\n", "!VERSION_TEXT" },
		{ "HTTP/11.1 200 OK\r\n\r\n", "!VERSION_TEXT" },
		{ "HTTP/1.01 200 OK\r\n\r\n", "!STATUS" },
		{ "HTTPER/1.1 200 OK\r\n\r\n", "!VERSION_TEXT" },
		{ "RTSP/1.1 200 OK\r\n\r\n", "!VERSION_TEXT" },
		{ "ICE/1.1 200 OK\r\n\r\n", "!VERSION_TEXT" },
		{ "HTTP/0.9 200 OK\r\n\r\n", "!VERSION" },
		{ "HTTP/1.1\t200 OK\r\n\r\n", "!STATUS" },
		{ "\rHTTP/1.1 200 OK\r\n\r\n", "!VERSION_TEXT" },
		{ "\r\nHTTP/1.1 200 OK\r\n\r\n", "!VERSION_TEXT" },
		{ " HTTP/1.1 200 OK\r\n\r\n", "!VERSION_TEXT" },
		{ "HTTP/5.6 200 OK\r\n\r\n", "!VERSION" },
		{ "HTTP/2.0 200 OK\r\n\r\n", "!VERSION" },
		{ "HTTP/1.1  200 OK\r\n\r\n", "!STATUS" },
		{ "HTTP/1.1 2 OK\r\n\r\n", "!STATUS" },
		{ "HTTP/1.1 20 OK\r\n\r\n", "!STATUS" },
		{ "HTTP/1.1 2000 OK\r\n\r\n", "!STATUS" },
		{ "HTTP/1.1 099 OK\r\n\r\n", "!STATUS" },
		{ "HTTP/1.1 +20 OK\r\n\r\n", "!STATUS" },
		{ "HTTP/1.1 2x0 OK\r\n\r\n", "!STATUS" },
		{ "HTTP/1.1 200-OK\r\n\r\n", "!STATUS" },
		{ "HTTP/1.1 200\tOK\r\n\r\n", "!STATUS" },
		{ "HTTP/1.1 200 O\x01K\r\n\r\n", "!STATUS" },
		{ "HTTP/1.1 200 O\x7fK\r\n\r\n", "!STATUS" },
		{ "HTTP/1.1 200 OK\n\n", "!LINE_END" },
		{ "HTTP/1.1 200\n\n", "!LINE_END" },
		{ "HTTP/1.1\n", "!LINE_END" },
		{ "HTTP/1.1 200 OK\rA: b\r\n\r\n", "!LINE_END" },
		{ "HTTP/1.1 200\rA: b\r\n\r\n", "!LINE_END" },
		{ "HTTP/1.1 200 OK\r\n A: b\r\n\r\n", "!FOLD" },
		{ "HTTP/1.1 200 OK\r\nA: 1\rB: 2\r\n\r\n", "!LINE_END" },
		{ "<html>", "!VERSION_TEXT" },
		{ "GET / HTTP/1.1\r\n\r\n", "!VERSION_TEXT" },
		{ "HTTP/1.1 200 O", "..." },
		{ "HTTP/1.1 200", "..." },
		{ "HTTP/1.1 20", "..." },
		{ "HTTP/1.1 ", "..." },
		{ "HTTP/1", "..." },
	};

	CASES(list, .kind = HTTP1_RESPONSE, .answers = HTTP1_METHOD_GET);
}
END_TEST

START_TEST(http1_responses_know_what_they_answer)
{
	static const struct head_case head[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
			"1.1 200 'OK' none=3 keep [Content-Length=3]" },
		{ "HTTP/1.1 200 OK\r\n" TE "chunked\r\n\r\n",
			"1.1 200 'OK' none keep [" TES "chunked]" },
		{ "HTTP/1.1 200 OK\r\n\r\n", "1.1 200 'OK' none keep []" },
		{ "HTTP/1.0 200 OK\r\n\r\n", "1.0 200 'OK' none []" },
	};
	static const struct head_case connect[] = {
		{ "HTTP/1.1 200 OK\r\n\r\n", "1.1 200 'OK' tunnel keep []" },
		{ "HTTP/1.1 299 OK\r\nContent-Length: 3\r\n\r\n",
			"1.1 299 'OK' tunnel=3 keep [Content-Length=3]" },
		{ "HTTP/1.1 200 OK\r\n" TE "chunked\r\n\r\n",
			"1.1 200 'OK' tunnel keep [" TES "chunked]" },
		{ "HTTP/1.1 100 Go\r\n\r\n", "1.1 100 'Go' none keep []" },
		{ "HTTP/1.1 407 No\r\nContent-Length: 3\r\n\r\n",
			"1.1 407 'No' length=3 keep [Content-Length=3]" },
		{ "HTTP/1.1 300 OK\r\n\r\n", "1.1 300 'OK' close []" },
	};

	CASES(head, .kind = HTTP1_RESPONSE, .answers = HTTP1_METHOD_HEAD);
	CASES(connect, .kind = HTTP1_RESPONSE, .answers = HTTP1_METHOD_CONNECT);
}
END_TEST

static void head_tests(TCase *tc)
{
	t_add(tc, http1_requests_are_taken_apart);
	t_add(tc, http1_empty_lines_before_a_request_are_passed_over);
	t_add(tc, http1_start_lines_of_requests_are_refused);
	t_add(tc, http1_field_lines_are_refused);
	t_add(tc, http1_every_byte_at_every_place);
	t_add(tc, http1_targets_have_four_forms);
	t_add(tc, http1_host_is_there_once_and_right);
	t_add(tc, http1_content_length_is_one_number);
	t_add(tc, http1_transfer_encoding_is_chunked_or_refused);
	t_add(tc, http1_connection_decides_what_follows);
	t_add(tc, http1_responses_are_taken_apart);
	t_add(tc, http1_status_lines_are_refused);
	t_add(tc, http1_responses_know_what_they_answer);
}
T_SUITE("http1_head", head_tests)
