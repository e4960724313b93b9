/* SPDX-License-Identifier: MIT */
/*
 * Heads of HTTP/1: the time of one, whole in memory, all its fields noted and its framing known.
 *
 *	http1_parse ROW			weft
 *	http1_parse llhttp ROW		llhttp (strict), each name and value noted by its callbacks
 *	http1_parse			a table: both in turn, medians of BENCH_ROUNDS (9) rounds
 *
 * Rows: small, browser, response; chunked (a body of 16 chunks of 64 bytes); written (a response's
 * head by the writer, weft only).
 */
#include "bench.h"

#include "proto/http1/http1.h"

#if defined(WEFT_LLHTTP)
#include <llhttp.h>
#endif

#define FIELDS_MAX 100
#define ROUNDS_MAX 101

static const char small_request[] = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";

static const char browser_request[] =
	"GET /articles/2026/03/how-to-measure-a-parser?from=feed&page=2 HTTP/1.1\r\n"
	"Host: www.example.com\r\n"
	"Connection: keep-alive\r\n"
	"Cache-Control: max-age=0\r\n"
	"Upgrade-Insecure-Requests: 1\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
	"Chrome/120.0.0.0 Safari/537.36\r\n"
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
	"*/*;q=0.8\r\n"
	"Sec-Fetch-Site: none\r\n"
	"Sec-Fetch-Mode: navigate\r\n"
	"Sec-Fetch-User: ?1\r\n"
	"Sec-Fetch-Dest: document\r\n"
	"Accept-Encoding: gzip, deflate, br\r\n"
	"Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
	"Cookie: session=4f1c0b1e9d2a4c6f8a7b3d5e; theme=dark; visited=17; consent=all\r\n"
	"\r\n";

static const char response[] = "HTTP/1.1 200 OK\r\n"
			       "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
			       "Server: weft\r\n"
			       "Content-Type: application/json; charset=utf-8\r\n"
			       "Content-Length: 1270\r\n"
			       "Last-Modified: Sat, 05 Nov 1994 20:11:09 GMT\r\n"
			       "ETag: \"3f80f-1b6-3e1cb03b\"\r\n"
			       "Cache-Control: no-cache, no-store\r\n"
			       "Vary: Accept-Encoding\r\n"
			       "Connection: keep-alive\r\n"
			       "\r\n";

static const char chunked_head[] = "POST / HTTP/1.1\r\nHost: example.com\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n";
static char chunks[4096];
static size_t chunks_len;

struct row {
	const char *name, *text;
	size_t len;
	bool response;
};

static const struct row rows[] = {
	{ "small", small_request, sizeof(small_request) - 1, false },
	{ "browser", browser_request, sizeof(browser_request) - 1, false },
	{ "response", response, sizeof(response) - 1, true },
	{ "chunked", chunked_head, sizeof(chunked_head) - 1, false },
	{ "written", NULL, 0, true },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void make_chunks(void)
{
	for (int i = 0; i < 16; i++)
		chunks_len += (size_t)snprintf(
			chunks + chunks_len, sizeof(chunks) - chunks_len, "40\r\n%064d\r\n", i);
	chunks_len += (size_t)snprintf(
		chunks + chunks_len, sizeof(chunks) - chunks_len, HTTP1_LAST_CHUNK);
}

/* ---- weft ---- */

static double weft_heads(void *arg, uint64_t n)
{
	const struct row *row = arg;
	static struct http1_field fields[FIELDS_MAX];
	struct http1_parser parser;
	int64_t start = bench_now_ns();

	http1_parser_init(
		&parser, row->response ? HTTP1_RESPONSE : HTTP1_REQUEST, fields, FIELDS_MAX, NULL);
	for (; n; n--) {
		http1_parser_reset(&parser, HTTP1_METHOD_GET);
		if (http1_parse(&parser, row->text, row->len) != HTTP1_DONE)
			bench_die("http1_parse");
		bench_look_at(parser.head.field_count);
	}
	return (double)(bench_now_ns() - start);
}

static double weft_chunked(void *arg, uint64_t n)
{
	static const struct http1_framing framing = { .kind = HTTP1_CHUNKED };
	int64_t start = bench_now_ns();

	(void)arg;
	for (; n; n--) {
		struct http1_body body;
		struct http1_piece piece;
		const char *data = chunks;
		size_t len = chunks_len;

		http1_body_init(&body, &framing);
		while (http1_body_next(&body, &data, &len, &piece) == HTTP1_BODY_DATA)
			bench_look_at(piece.len);
		if (len > 0)
			bench_die("http1_body_next");
	}
	return (double)(bench_now_ns() - start);
}

#define PUT(out, name, value) \
	http1_put_field((out), (name), sizeof(name) - 1, (value), sizeof(value) - 1)

static double weft_written(void *arg, uint64_t n)
{
	static const struct http1_framing framing = {
		.kind = HTTP1_LENGTH, .keep_alive = true, .content_length = 1270
	};
	int64_t start = bench_now_ns();

	(void)arg;
	for (; n; n--) {
		static char data[1024];
		struct http1_out out;

		http1_out_init(&out, data, sizeof(data));
		http1_put_response(&out, 1, 200, "OK", 2, &framing);
		PUT(&out, "Date", "Sun, 06 Nov 1994 08:49:37 GMT");
		PUT(&out, "Server", "weft");
		PUT(&out, "Content-Type", "application/json; charset=utf-8");
		PUT(&out, "Last-Modified", "Sat, 05 Nov 1994 20:11:09 GMT");
		PUT(&out, "ETag", "\"3f80f-1b6-3e1cb03b\"");
		PUT(&out, "Cache-Control", "no-cache, no-store");
		PUT(&out, "Vary", "Accept-Encoding");
		if (!http1_put_end(&out))
			bench_die("http1_put_end");
		bench_look_at(out.len);
	}
	return (double)(bench_now_ns() - start);
}

static double weft_ns(const struct row *row)
{
	struct row copy = *row;
	bench_pass *pass = weft_heads;

	if (!strcmp(row->name, "chunked"))
		pass = weft_chunked;
	if (!strcmp(row->name, "written"))
		pass = weft_written;
	return bench_calibrated(pass, &copy, UINT64_C(1) << 40);
}

/* ---- llhttp ---- */

#if defined(WEFT_LLHTTP)
struct noted {
	struct http1_piece names[FIELDS_MAX], values[FIELDS_MAX], target;
	size_t names_count, values_count, body_len;
};

static struct noted noted;

static int on_target(llhttp_t *parser, const char *at, size_t len)
{
	(void)parser;
	noted.target = (struct http1_piece){ at, len };
	return 0;
}

static int on_name(llhttp_t *parser, const char *at, size_t len)
{
	(void)parser;
	noted.names[noted.names_count++ % FIELDS_MAX] = (struct http1_piece){ at, len };
	return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
	(void)parser;
	noted.values[noted.values_count++ % FIELDS_MAX] = (struct http1_piece){ at, len };
	return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
	(void)parser;
	noted.body_len += len;
	bench_look_at((uint64_t)(uintptr_t)at);
	return 0;
}

/* Chunks have a head before them, of which 1 means that it has been; else a head stops there. */
static int on_head(llhttp_t *parser)
{
	return parser->flags & F_CHUNKED ? 0 : 1;
}

static double llhttp_messages(void *arg, uint64_t n)
{
	const struct row *row = arg;
	bool chunked = !strcmp(row->name, "chunked");
	llhttp_settings_t settings;
	llhttp_t parser, begun;
	int64_t start;

	llhttp_settings_init(&settings);
	settings.on_url = on_target;
	settings.on_header_field = on_name;
	settings.on_header_value = on_value;
	settings.on_headers_complete = on_head;
	settings.on_body = on_body;
	llhttp_init(&parser, row->response ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
	if (chunked && llhttp_execute(&parser, row->text, row->len) != HPE_OK)
		bench_die("llhttp_execute");
	begun = parser;
	start = bench_now_ns();
	for (; n; n--) {
		noted.names_count = noted.values_count = 0;
		if (chunked) {
			parser = begun;
			if (llhttp_execute(&parser, chunks, chunks_len) != HPE_OK)
				bench_die("llhttp_execute");
		} else if (llhttp_execute(&parser, row->text, row->len) != HPE_OK) {
			bench_die("llhttp_execute");
		}
		bench_look_at(noted.names_count);
	}
	return (double)(bench_now_ns() - start);
}

static double llhttp_ns(const struct row *row)
{
	struct row copy = *row;

	return row->text ? bench_calibrated(llhttp_messages, &copy, UINT64_C(1) << 40) : 0;
}
#else
static double llhttp_ns(const struct row *row)
{
	(void)row;
	return 0;
}
#endif

/* ---- what is asked for ---- */

static int table(void)
{
	const char *text = getenv("BENCH_ROUNDS");
	long rounds = text ? strtol(text, NULL, 10) : 9;
	static int64_t samples[2][ROWS][ROUNDS_MAX]; /* ps */

	rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
	for (long round = 0; round < rounds; round++) {
		for (size_t i = 0; i < ROWS; i++) {
			samples[0][i][round] = (int64_t)(weft_ns(&rows[i]) * 1000);
			samples[1][i][round] = (int64_t)(llhttp_ns(&rows[i]) * 1000);
		}
	}
	printf("%-10s %8s %10s %10s\n", "ns", "bytes", "weft", "llhttp");
	for (size_t i = 0; i < ROWS; i++) {
		double ours = bench_median(samples[0][i], (size_t)rounds) / 1000;
		double theirs = bench_median(samples[1][i], (size_t)rounds) / 1000;

		printf("%-10s %8zu %10.1f ", rows[i].name, rows[i].len, ours);
		if (theirs > 0)
			printf("%10.1f   %.1f times\n", theirs, theirs / ours);
		else
			printf("%10s\n", "-");
	}
	return 0;
}

int main(int argc, char **argv)
{
	bool second = argc > 1 && !strcmp(argv[1], "llhttp");
	const char *name = argc == 2 + second ? argv[1 + second] : NULL;

	make_chunks();
	if (argc == 1)
		return table();
	for (size_t i = 0; name && i < ROWS; i++) {
		double ns;

		if (strcmp(rows[i].name, name) != 0)
			continue;
		ns = second ? llhttp_ns(&rows[i]) : weft_ns(&rows[i]);
		if (ns <= 0)
			break;
		bench_report(name, ns, "ns");
		return 0;
	}
	fprintf(stderr, "usage: %s [llhttp] small|browser|response|chunked|written\n", argv[0]);
	return 2;
}
