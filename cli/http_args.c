/* SPDX-License-Identifier: MIT */
/* The arguments of weft http. */
#include "commands.h"
#include "http.h"
#include "say.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define REDIRECTS_DEFAULT 10

static const char help_text[] =
	"usage: weft http [FLAG...] URL\n"
	"\n"
	"Sends one HTTP request and writes the response's body to standard output, as it comes.\n"
	"\n"
	"the request:\n"
	"  -X, --request METHOD     GET, or POST with a body, HEAD with -I\n"
	"  -H, --header 'NAME: VALUE'\n"
	"                           may be repeated; in place of the field of that name that\n"
	"                           weft would send\n"
	"  -H @FILE                 each line of it: for secrets, which have no place in\n"
	"                           arguments; left behind by a redirect to another host;\n"
	"                           -: from standard input\n"
	"  -d, --data TEXT          a body, of type application/x-www-form-urlencoded\n"
	"  -d @FILE, -d -           from a file, or from standard input as it comes, of type\n"
	"                           application/octet-stream; -H Content-Type says another\n"
	"      --json TEXT          the same three, of type application/json\n"
	"the response:\n"
	"  -o, --output FILE        into FILE, with a progress bar when stderr is a terminal;\n"
	"                           what came before an error or Ctrl-C stays there.\n"
	"                           -: stdout, also what is not text to a terminal\n"
	"  -i, --include            the head before the body\n"
	"  -I, --head               the method HEAD, and the head\n"
	"  -v, --verbose            request, connection, head and times to stderr\n"
	"  -f, --fail               a status of 400 or more is an error, without its body\n"
	"  -L, --location           follow redirects, without credentials to other hosts\n"
	"      --max-redirects N    at most so many (10)\n"
	"      --compressed         ask for gzip and deflate, and undo them\n"
	"      --max-size SIZE      longer bodies are an error (off)\n"
	"      --sse                receive Server-Sent Events, and connect again when the\n"
	"                           stream is lost; without it they are shown as they come\n"
	"the connection; durations are 500ms, 10s, 2m or off:\n"
	"      --connect-timeout T  for name, connection and TLS (30s)\n"
	"      --max-time T         for all of it (off)\n"
	"      --cacert FILE        trust these certificates in place of the system's\n"
	"      --cert FILE          a client's certificate, and its key unless --key has it\n"
	"      --key FILE\n"
	"      --insecure           trust any certificate: whoever is on the way may read all\n"
	"  -x, --proxy URL          go through this proxy, not the one that http_proxy,\n"
	"                           https_proxy or all_proxy name\n"
	"      --no-proxy           go through none\n"
	"      --unix-socket PATH   connect to this socket, whatever the URL's host\n"
	"\n"
	"exit status: 0 a response came, whatever its status; 1 something outside failed,\n"
	"or --fail; 2 usage; 130, 143 ended by SIGINT, SIGTERM\n";

void command_http_help(void)
{
	(void)fputs(help_text, stdout);
}

/* ---- checks ---- */

static int exclude(bool a, const char *a_name, bool b, const char *b_name)
{
	return a && b ? say_usage("%s and %s exclude each other", a_name, b_name) : 0;
}

static int combinations_check(const struct http_args *a)
{
	bool has_body = a->data.count || a->json.count;
	int status = exclude(a->data.count, "-d", a->json.count, "--json");

	if (!status && (a->data.count > 1 || a->json.count > 1))
		status = say_usage("%s: given more than once", a->json.count ? "--json" : "-d");
	if (!status)
		status = exclude(a->is_head, "-I", has_body, a->json.count ? "--json" : "-d");
	if (!status)
		status = exclude(a->is_head, "-I", a->method != NULL, "-X");
	if (!status)
		status = exclude(a->proxy != NULL, "--proxy", a->has_no_proxy, "--no-proxy");
	if (!status)
		status = exclude(a->proxy != NULL, "--proxy", a->unix_path, "--unix-socket");
	if (!status)
		status = exclude(a->cacert != NULL, "--cacert", a->is_insecure, "--insecure");
	if (!status && a->key && !a->cert)
		status = say_usage("--key: --cert is missing");
	if (!status)
		status = exclude(a->is_sse, "--sse", a->method != NULL, "-X");
	if (!status)
		status = exclude(a->is_sse, "--sse", has_body, a->json.count ? "--json" : "-d");
	if (!status)
		status = exclude(a->is_sse, "--sse", a->is_head, "-I");
	if (!status)
		status = exclude(a->is_sse, "--sse", a->shows_head, "-i");
	return status;
}

static int absence_check(const struct http_args *a)
{
	const struct {
		const char *name, *value;
	} values[] = { { "-o", a->output }, { "--cacert", a->cacert }, { "--cert", a->cert },
		{ "--key", a->key }, { "--unix-socket", a->unix_path } };

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		if (values[i].value && !*values[i].value)
			return say_usage("%s: the name of the file is empty", values[i].name);
	}
	return 0;
}

static bool is_stdin(const char *text)
{
	return strcmp(text, "-") == 0 || strcmp(text, "@-") == 0;
}

/* "@" names no file, and standard input can be read once. */
static int inputs_check(const struct http_args *a)
{
	const char *body = a->json.count ? a->json.items[0] : a->data.items[0];
	const char *body_flag = a->json.count ? "--json" : "-d";
	bool reads_stdin = body && is_stdin(body);

	if (body && strcmp(body, "@") == 0)
		return say_usage("%s @: the name of the file is missing", body_flag);
	for (size_t i = 0; i < a->fields.count; i++) {
		const char *text = a->fields.items[i];

		if (strcmp(text, "@") == 0)
			return say_usage("-H @: the name of the file is missing");
		if (strcmp(text, "@-") != 0)
			continue;
		if (reads_stdin)
			return say_usage("-H @-: standard input is read already");
		reads_stdin = true;
	}
	return 0;
}

/* What is no URL because it lacks its beginning. */
static int url_hint(const char *text)
{
	const char *scheme = "http", *rest = text;

	if (strncasecmp(rest, "http:", 5) == 0) {
		rest += 5;
	} else if (strncasecmp(rest, "https:", 6) == 0) {
		scheme = "https";
		rest += 6;
	}
	rest += strspn(rest, "/");
	if (!*rest)
		return say_usage("\"%s\": no URL, such as http://host/path", text);
	return say_usage("\"%s\": no URL; did you mean %s://%s?", text, scheme, rest);
}

static int url_check(const char *text)
{
	weft_http_url url = { .memory = NULL };
	weft_err err = weft_http_url_parse(&url, text);
	bool has_user = !err && url.userinfo;

	if (err && err != WEFT_ENOMEM && !strstr(text, "://"))
		return url_hint(text);
	if (err)
		return say_usage("%s", weft_error_detail());
	weft_http_url_fini(&url);
	if (has_user)
		return say_usage("the URL has a user before '@': "
				 "put a line \"Authorization: ...\" into a file, and -H @FILE");
	return 0;
}

static int proxy_check(const char *text)
{
	const char *scheme_end = strstr(text, "://");

	if (*text == '\0')
		return say_usage("--proxy: no URL; --no-proxy goes without one");
	if (strchr(text, '@'))
		return say_usage("--proxy: user and password have no place in arguments: "
				 "put the URL into the variable all_proxy");
	if (scheme_end && strncasecmp(text, "http://", 7) != 0 &&
		strncasecmp(text, "https://", 8) != 0)
		return say_usage(
			"--proxy: %.*s: only proxies at http:// and https:// are supported",
			(int)(scheme_end - text), text);
	return 0;
}

static bool is_token(const char *text)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	if (!*text)
		return false;
	for (; *text; text++) {
		bool is_plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
			(*text >= '0' && *text <= '9');

		if (!is_plain && !strchr(others, *text))
			return false;
	}
	return true;
}

static int check(struct http_args *a)
{
	int status;

	if (!a->url)
		return say_usage("URL is missing; try weft http --help");
	status = combinations_check(a);
	if (!status)
		status = absence_check(a);
	if (!status)
		status = inputs_check(a);
	if (!status)
		status = url_check(a->url);
	if (!status && a->proxy)
		status = proxy_check(a->proxy);
	if (!status && a->method && !is_token(a->method))
		status = say_usage("-X: \"%s\" is no method", a->method);
	if (!status && a->redirects_max > WEFT_HTTP_REDIRECTS_MAX)
		status = say_usage("--max-redirects: %zu is above %d", a->redirects_max,
			WEFT_HTTP_REDIRECTS_MAX);
	if (!a->method)
		a->method = a->is_head ? "HEAD" : a->data.count || a->json.count ? "POST" : "GET";
	if (!a->follows)
		a->redirects_max = 0;
	return status;
}

/* ---- the table ---- */

static const struct flag_letter letters[] = { { 'X', "request" }, { 'H', "header" },
	{ 'd', "data" }, { 'o', "output" }, { 'i', "include" }, { 'I', "head" }, { 'v', "verbose" },
	{ 'f', "fail" }, { 'L', "location" }, { 'x', "proxy" } };

int http_arguments(struct http_args *a, const char *const *argv, bool *wants_help)
{
	const struct flag table[] = {
		{ "request", FLAG_TEXT, &a->method, 0, false },
		{ "header", FLAG_LIST, &a->fields, 0, false },
		{ "data", FLAG_LIST, &a->data, 0, false },
		{ "json", FLAG_LIST, &a->json, 0, false },
		{ "output", FLAG_TEXT, &a->output, 0, false },
		{ "include", FLAG_SWITCH, &a->shows_head, 0, false },
		{ "head", FLAG_SWITCH, &a->is_head, 0, false },
		{ "verbose", FLAG_SWITCH, &a->is_verbose, 0, false },
		{ "fail", FLAG_SWITCH, &a->fails, 0, false },
		{ "location", FLAG_SWITCH, &a->follows, 0, false },
		{ "max-redirects", FLAG_COUNT, &a->redirects_max, 0, false },
		{ "compressed", FLAG_SWITCH, &a->is_compressed, 0, false },
		{ "max-size", FLAG_SIZE, &a->max_size, 0, false },
		{ "sse", FLAG_SWITCH, &a->is_sse, 0, false },
		{ "connect-timeout", FLAG_DURATION, &a->connect_timeout_ns, -1, false },
		{ "max-time", FLAG_DURATION, &a->max_time_ns, INT64_MAX, false },
		{ "cacert", FLAG_TEXT, &a->cacert, 0, false },
		{ "cert", FLAG_TEXT, &a->cert, 0, false },
		{ "key", FLAG_TEXT, &a->key, 0, false },
		{ "insecure", FLAG_SWITCH, &a->is_insecure, 0, false },
		{ "proxy", FLAG_TEXT, &a->proxy, 0, false },
		{ "no-proxy", FLAG_SWITCH, &a->has_no_proxy, 0, false },
		{ "unix-socket", FLAG_TEXT, &a->unix_path, 0, false },
	};
	struct flags flags = { .table = table,
		.table_len = sizeof(table) / sizeof(table[0]),
		.letters = letters,
		.letters_len = sizeof(letters) / sizeof(letters[0]),
		.args = &a->url,
		.args_max = 1 };
	int status;

	a->max_time_ns = INT64_MAX;
	a->redirects_max = REDIRECTS_DEFAULT;
	status = flags_parse(&flags, argv);
	*wants_help = !status && flags.wants_help;
	if (status || flags.wants_help)
		return status;
	if (flags.command)
		return say_usage("weft http takes no --");
	return check(a);
}
