/* SPDX-License-Identifier: MIT */
/*
 * A small HTTP/1.1 file server: file_server DIRECTORY [tcp://HOST:PORT]
 *
 * One fiber a connection, written as if it blocked. GET and HEAD, keep-alive, one byte range;
 * files are read in the blocking-work pool, a piece at a time, so that a slow disk holds
 * up nobody else. It serves regular files below DIRECTORY and nothing else: no "..", no
 * symbolic links that lead out.
 */
#define _DEFAULT_SOURCE
#include <weft/weft.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096
#define HEADERS_MAX 100
#define PIECE ((size_t)256 << 10)
#define IDLE_MS 30000 /* between requests, and for each piece to be taken */

struct request {
	char method[8];
	char path[LINE_MAX_BYTES];
	bool keep_alive;
	bool has_range;
	long long range_first, range_last; /* last: -1 to the end */
};

static int root_fd;

/* --- files, in the blocking-work pool -------------------------------------------------- */

struct piece {
	int fd;
	long long offset;
	size_t want, got;
	int errnum;
	char data[PIECE];
};

static weft_err read_piece(void *arg)
{
	struct piece *p = arg;
	ssize_t n;

	do {
		n = pread(p->fd, p->data, p->want, p->offset);
	} while (n < 0 && errno == EINTR);
	p->errnum = n < 0 ? errno : 0;
	p->got = n < 0 ? 0 : (size_t)n;
	return WEFT_OK;
}

/* --- requests -------------------------------------------------------------------------- */

static weft_err read_line(weft_conn *conn, char *line, size_t *len)
{
	weft_err err = weft_conn_read_line(conn, line, LINE_MAX_BYTES, len, weft_after_ms(IDLE_MS));

	while (!err && *len > 0 && (line[*len - 1] == '\n' || line[*len - 1] == '\r'))
		line[--*len] = '\0';
	return err;
}

/* "/a%20b?query" to "a b"; false when it is none of ours. */
static bool decode_path(char *out, const char *target)
{
	size_t len = 0;

	if (*target++ != '/')
		return false;
	while (*target == '/')
		target++;
	for (; *target && *target != '?' && *target != '#'; target++) {
		unsigned value = (unsigned char)*target;

		if (*target == '%') {
			char hex[3] = { target[1], target[1] ? target[2] : '\0', '\0' };
			char *end;

			value = (unsigned)strtoul(hex, &end, 16);
			if (end != hex + 2 || value == 0)
				return false;
			target += 2;
		}
		out[len++] = (char)value;
	}
	out[len] = '\0';
	return true;
}

static bool says(const char *value, const char *word)
{
	size_t len = strlen(word);

	for (; *value; value++)
		if (strncasecmp(value, word, len) == 0)
			return true;
	return false;
}

static void read_header(struct request *r, const char *line)
{
	if (strncasecmp(line, "connection:", 11) == 0) {
		r->keep_alive = !says(line + 11, "close");
	} else if (strncasecmp(line, "range:", 6) == 0) {
		const char *spec = strstr(line, "bytes=");
		char *end;

		/* one range from a first byte on; others get the whole file, as they may */
		if (!spec || spec[6] < '0' || spec[6] > '9' || strchr(spec, ','))
			return;
		r->range_first = strtoll(spec + 6, &end, 10);
		r->range_last = *end == '-' && end[1] ? strtoll(end + 1, NULL, 10) : -1;
		r->has_range = *end == '-';
	}
}

/* WEFT_EPROTO: not a request; answer 400. */
static weft_err read_request(weft_conn *conn, struct request *r, char *line)
{
	char *target, *version;
	size_t len;
	weft_err err = read_line(conn, line, &len);

	if (err)
		return err;
	memset(r, 0, sizeof(*r));
	r->keep_alive = true;
	target = strchr(line, ' ');
	version = target ? strchr(target + 1, ' ') : NULL;
	if (!version || target - line >= (long)sizeof(r->method) ||
		strncmp(version, " HTTP/1.", 8) != 0)
		return WEFT_EPROTO;
	r->keep_alive = strcmp(version, " HTTP/1.0") != 0;
	*target++ = *version = '\0';
	memcpy(r->method, line, strlen(line) + 1);
	if (!decode_path(r->path, target))
		return WEFT_EPROTO;
	for (int i = 0; i < HEADERS_MAX; i++) {
		err = read_line(conn, line, &len);
		if (err || len == 0)
			return err;
		read_header(r, line);
	}
	return WEFT_EPROTO;
}

/* --- answers --------------------------------------------------------------------------- */

static weft_err send_status(weft_conn *conn, const struct request *r, int code, const char *text)
{
	char answer[512];
	int len = snprintf(answer, sizeof(answer),
		"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
		"Connection: %s\r\n\r\n%s%s",
		code, text, strlen(text) + 1, r->keep_alive ? "keep-alive" : "close",
		strcmp(r->method, "HEAD") == 0 ? "" : text,
		strcmp(r->method, "HEAD") == 0 ? "" : "\n");

	return weft_conn_write(conn, answer, (size_t)len, NULL, weft_after_ms(IDLE_MS));
}

static weft_err send_bytes(weft_conn *conn, struct piece *p, long long first, long long end)
{
	weft_err err = WEFT_OK;

	for (p->offset = first; p->offset < end && !err; p->offset += (long long)p->got) {
		p->want = end - p->offset < (long long)PIECE ? (size_t)(end - p->offset) : PIECE;
		/* a job that is given up would still write into p: so it is not given up */
		weft_shield_begin();
		err = weft_offload(read_piece, p, NULL, WEFT_FOREVER);
		weft_shield_end();
		if (!err && p->got == 0)
			return WEFT_EIO; /* the file became shorter, or can't be read */
		if (!err)
			err = weft_conn_write(conn, p->data, p->got, NULL, weft_after_ms(IDLE_MS));
	}
	return err;
}

static weft_err send_file(weft_conn *conn, struct request *r, struct piece *p, long long size)
{
	long long first = 0, end = size;
	char head[512], range[128] = "";
	weft_err err;
	int len;

	if (r->has_range) {
		first = r->range_first;
		if (r->range_last >= 0 && r->range_last < size)
			end = r->range_last + 1;
		if (first >= end)
			return send_status(conn, r, 416, "Range Not Satisfiable");
		snprintf(range, sizeof(range), "Content-Range: bytes %lld-%lld/%lld\r\n", first,
			end - 1, size);
	}
	len = snprintf(head, sizeof(head),
		"HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\n"
		"Content-Length: %lld\r\nAccept-Ranges: bytes\r\n%sConnection: %s\r\n\r\n",
		r->has_range ? "206 Partial Content" : "200 OK", end - first, range,
		r->keep_alive ? "keep-alive" : "close");
	err = weft_conn_write(conn, head, (size_t)len, NULL, weft_after_ms(IDLE_MS));
	if (!err && strcmp(r->method, "GET") == 0)
		err = send_bytes(conn, p, first, end);
	return err;
}

static int open_below_root(const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof(how));
}

static weft_err answer(weft_conn *conn, struct request *r, struct piece *p)
{
	struct stat st;
	weft_err err;

	if (strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0) {
		r->keep_alive = false; /* its body is not read */
		return send_status(conn, r, 405, "Method Not Allowed");
	}
	p->fd = open_below_root(r->path);
	if (p->fd < 0)
		return send_status(conn, r, errno == EACCES ? 403 : 404,
			errno == EACCES ? "Forbidden" : "Not Found");
	if (fstat(p->fd, &st) < 0 || !S_ISREG(st.st_mode))
		err = send_status(conn, r, 404, "Not Found");
	else
		err = send_file(conn, r, p, (long long)st.st_size);
	close(p->fd);
	return err;
}

static weft_err serve(weft_conn *conn, void *arg)
{
	struct request *r = malloc(sizeof(*r));
	struct piece *p = malloc(sizeof(*p));
	char *line = malloc(LINE_MAX_BYTES);
	weft_err err = r && p && line ? WEFT_OK : WEFT_ENOMEM;

	(void)arg;
	if (!err)
		r->keep_alive = true;
	while (!err && r->keep_alive) {
		err = read_request(conn, r, line);
		if (err == WEFT_EPROTO || err == WEFT_EMSGSIZE) {
			r->keep_alive = false;
			err = send_status(conn, r, 400, "Bad Request");
		} else if (!err) {
			err = answer(conn, r, p);
		}
	}
	weft_conn_free(conn);
	free(r);
	free(p);
	free(line);
	return err == WEFT_ECLOSED || err == WEFT_ETIMEDOUT ? WEFT_OK : err;
}

/* --- the server ------------------------------------------------------------------------ */

struct server {
	weft_listener *listener;
	weft_scope *scope;
};

static weft_err accept_all(void *arg)
{
	struct server *server = arg;

	return weft_listener_serve(server->listener, server->scope, "connection", serve, NULL);
}

static weft_err run(void *arg)
{
	const int numbers[] = { SIGINT, SIGTERM };
	struct server server = { NULL, NULL };
	weft_signals *signals = NULL;
	int number;
	weft_err err = weft_listen(&server.listener, arg, NULL, weft_after_ms(5000));

	if (!err)
		err = weft_signals_create(&signals, numbers, 2);
	if (!err)
		err = weft_scope_create(&server.scope);
	if (!err)
		err = weft_scope_spawn(server.scope, "accept", accept_all, &server);
	if (!err) {
		fprintf(stderr, "file_server: listening on %s\n",
			weft_listener_name(server.listener));
		err = weft_signals_wait(signals, &number, WEFT_FOREVER);
	}
	weft_scope_free(server.scope);
	weft_signals_free(signals);
	weft_listener_free(server.listener);
	return err;
}

int main(int argc, char **argv)
{
	const char *address = argc > 2 ? argv[2] : "tcp://127.0.0.1:0";
	weft_err err;

	if (argc < 2 || argc > 3 || argv[1][0] == '-') {
		fprintf(stderr, "usage: file_server DIRECTORY [tcp://HOST:PORT]\n");
		return 2;
	}
	root_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0) {
		fprintf(stderr, "file_server: open \"%s\": %s\n", argv[1], strerror(errno));
		return 1;
	}
	err = weft_run(run, (void *)(uintptr_t)address, NULL);
	if (err)
		fprintf(stderr, "file_server: %s\n", weft_error_detail());
	close(root_fd);
	return err ? 1 : 0;
}
