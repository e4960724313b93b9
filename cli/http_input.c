/* SPDX-License-Identifier: MIT */
/* What weft http reads before it sends: fields from -H, and the body's file. */
#define _POSIX_C_SOURCE 200809L
#include "http.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_SIZE_MAX 65536
#define FILE_LINES_MAX 1000

/* ---- fields ---- */

static int add_failed(weft_err err, const char *where)
{
	say("%s: %s", where, weft_error_detail());
	return err == WEFT_ENOMEM ? EXIT_WORLD : EXIT_USAGE;
}

static int file_failed(const char *path, int errnum)
{
	say("read %s: %s", path, strerror(errnum));
	return EXIT_WORLD;
}

/* A line without its end; blank ones, and those that begin with '#', are passed over. */
static int line_add(weft_http_fields *fields, char *line, const char *path, unsigned number)
{
	size_t len = strcspn(line, "\r\n");
	char where[512];
	weft_err err;

	line[len] = '\0';
	if (line[strspn(line, " \t")] == '\0' || line[0] == '#')
		return 0;
	err = weft_http_fields_add_line(fields, line);
	if (!err)
		return 0;
	/* the message must not show a secret */
	(void)snprintf(where, sizeof(where), "-H @%s, line %u", path, number);
	if (err == WEFT_EINVAL)
		return say_usage(
			"%s: not \"NAME: VALUE\" of characters that a field may have", where);
	return add_failed(err, where);
}

static int file_read(weft_http_fields *fields, const char *path)
{
	bool is_stdin = strcmp(path, "-") == 0;
	FILE *file = is_stdin ? stdin : fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	unsigned number = 0;
	ssize_t len;
	int status = 0;

	if (!file)
		return file_failed(path, errno);
	errno = 0;
	while (!status && (len = getline(&line, &room, file)) >= 0) {
		if (++number > FILE_LINES_MAX || len > LINE_SIZE_MAX)
			status = say_usage("-H @%s: too large for header fields", path);
		else if (strlen(line) != (size_t)len)
			status = say_usage("-H @%s, line %u: a NUL", path, number);
		else
			status = line_add(fields, line, path, number);
	}
	if (!status && ferror(file))
		status = file_failed(path, errno);
	if (line)
		memset(line, 0, room);
	free(line);
	if (!is_stdin)
		(void)fclose(file);
	return status;
}

static int fields_of_body(struct http_command *c)
{
	const struct http_args *a = &c->args;
	const char *data = a->data.count ? a->data.items[0] : NULL;
	const char *type = a->json.count ? "application/json"
		: data && (data[0] == '@' || strcmp(data, "-") == 0)
		? "application/octet-stream"
		: "application/x-www-form-urlencoded";
	weft_err err = WEFT_OK;

	if (!a->data.count && !a->json.count)
		return 0;
	if (!weft_http_fields_get(c->fields, "Content-Type") &&
		!weft_http_fields_get(c->secrets, "Content-Type"))
		err = weft_http_fields_add(c->fields, "Content-Type", type);
	if (!err && a->json.count && !weft_http_fields_get(c->fields, "Accept"))
		err = weft_http_fields_add(c->fields, "Accept", "application/json");
	return err ? add_failed(err, "-d") : 0;
}

int http_fields_read(struct http_command *c)
{
	const struct flag_list *list = &c->args.fields;
	int status = 0;
	weft_err err;

	err = weft_http_fields_create(&c->fields);
	if (!err)
		err = weft_http_fields_create(&c->secrets);
	if (err)
		return add_failed(err, "-H");
	for (size_t i = 0; !status && i < list->count; i++) {
		if (list->items[i][0] == '@') {
			status = file_read(c->secrets, list->items[i] + 1);
			continue;
		}
		err = weft_http_fields_add_line(c->fields, list->items[i]);
		if (err)
			status = add_failed(err, "-H");
	}
	if (!status)
		status = fields_of_body(c);
	if (!status && !c->args.is_sse && !weft_http_fields_get(c->fields, "Accept") &&
		!weft_http_fields_get(c->secrets, "Accept")) {
		err = weft_http_fields_add(c->fields, "Accept", "*/*");
		if (err)
			status = add_failed(err, "-H");
	}
	return status;
}

/* ---- the body ---- */

static weft_err body_read(void *user, void *data, size_t size, size_t *got, weft_deadline until)
{
	struct http_body *body = user;
	weft_err err = weft_conn_read(body->conn, data, size, got, until);

	if (!err)
		body->read += *got;
	else if (err == WEFT_ECLOSED && body->is_regular && body->read < body->size)
		body->is_cut = true;
	return err;
}

/* The conn of a regular file has an open file of its own: a read that was given up may still move
 * the place in the old one when the body is sent again. */
static int descriptor_make(const struct http_body *body)
{
	char path[sizeof("/proc/self/fd/") + 11];
	int fd;

	if (!body->is_regular)
		return fcntl(body->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", body->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0 && lseek(fd, body->begin, SEEK_SET) < 0) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

static weft_err body_rewind(void *user)
{
	struct http_body *body = user;
	int fd = descriptor_make(body);

	weft_conn_free(body->conn);
	body->conn = NULL;
	body->read = 0;
	return fd < 0 ? WEFT_EIO : weft_conn_adopt_own(&body->conn, fd, -1, true, body->name);
}

static int body_measure(struct http_body *body)
{
	struct stat st;
	char byte;

	if (fstat(body->fd, &st) != 0)
		return file_failed(body->name, errno);
	if (S_ISDIR(st.st_mode))
		return file_failed(body->name, EISDIR);
	body->is_regular = S_ISREG(st.st_mode);
	if (body->is_regular) {
		body->begin = lseek(body->fd, 0, SEEK_CUR);
		body->size = st.st_size > body->begin ? (uint64_t)(st.st_size - body->begin) : 0;
		/* those of /proc have a content, but no size */
		if (body->size == 0 && pread(body->fd, &byte, 1, body->begin) == 1)
			body->is_regular = false;
	}
	return 0;
}

int http_body_adopt(struct http_body *body)
{
	weft_err err;
	int fd;

	if (body->fd < 0)
		return 0;
	fd = descriptor_make(body);
	if (fd < 0)
		return file_failed(body->name, errno);
	err = weft_conn_adopt_own(&body->conn, fd, -1, true, body->name);
	if (!err)
		return 0;
	say("%s", weft_error_detail());
	return EXIT_WORLD;
}

int http_body_open(struct http_command *c)
{
	const struct http_args *a = &c->args;
	struct http_body *body = &c->body;
	const char *data = a->json.count ? a->json.items[0] : a->data.items[0];

	body->fd = -1;
	if (!data)
		return 0;
	if (strcmp(data, "-") == 0 || strcmp(data, "@-") == 0) {
		body->name = "standard input";
		body->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	} else if (data[0] == '@') {
		body->name = data + 1;
		body->fd = open(data + 1, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	} else {
		body->text = data;
		body->text_len = strlen(data);
		return 0;
	}
	if (body->fd < 0)
		return file_failed(body->name, errno);
	return body_measure(body);
}

void http_body_say_cut(const struct http_body *body)
{
	say("read %s: it ended %llu bytes before its size of %llu", body->name,
		(unsigned long long)(body->size - body->read), (unsigned long long)body->size);
}

void http_body_set(struct http_command *c)
{
	struct http_body *body = &c->body;
	weft_http_request *request = &c->request;

	if (body->text || (body->fd >= 0 && body->is_regular && body->size == 0)) {
		request->body = body->text ? body->text : "";
		request->body_size = body->text_len;
	} else if (body->fd >= 0) {
		request->body_read = body_read;
		request->body_user = body;
		if (body->is_regular) {
			request->body_length = body->size;
			request->body_rewind = body_rewind;
		}
	}
}

void http_body_close(struct http_body *body)
{
	weft_conn_free(body->conn);
	body->conn = NULL;
	if (body->fd >= 0)
		(void)close(body->fd);
	body->fd = -1;
}
