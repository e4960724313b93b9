/* SPDX-License-Identifier: MIT */
#include "support/roughhttp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_SIZE 8192

/* "name: value", if there is a value. */
static size_t put(char *to, size_t at, size_t size, const char *name, const char *value)
{
	if (!value || !*value)
		return at;
	at += (size_t)snprintf(to + at, size - at, "%s: %s\r\n", name, value);
	want(at < size);
	return at;
}

weft_err rough_send(weft_conn *conn, const struct rough_ask *ask, weft_deadline until)
{
	size_t size = 2048 + (ask->body ? strlen(ask->body) : 0), at;
	char *text = malloc(size);
	weft_err err;

	want(text != NULL);
	at = (size_t)snprintf(text, size,
		"%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
		"Accept: application/json, text/event-stream\r\n",
		ask->method ? ask->method : "POST", ask->path ? ask->path : "/mcp",
		ask->host ? ask->host : "x");
	at = put(
		text, at, size, "MCP-Protocol-Version", ask->version ? ask->version : "2025-11-25");
	at = put(text, at, size, "Mcp-Session-Id", ask->session);
	at = put(text, at, size, "Last-Event-ID", ask->event_id);
	at += (size_t)snprintf(text + at, size - at, "%s", ask->fields ? ask->fields : "");
	if (ask->body)
		at += (size_t)snprintf(text + at, size - at,
			"Content-Type: application/json\r\nContent-Length: %zu\r\n",
			strlen(ask->body));
	at += (size_t)snprintf(text + at, size - at, "\r\n%s", ask->body ? ask->body : "");
	want(at < size);
	err = weft_conn_write(conn, text, at, NULL, until);
	free(text);
	return err;
}

/* The value of a field of that name; NULL: it is another. */
static const char *value_of(const char *line, const char *name)
{
	size_t len = strlen(name);

	return strncmp(line, name, len) == 0 && strncmp(line + len, ": ", 2) == 0 ? line + len + 2
										  : NULL;
}

weft_err rough_head(weft_conn *conn, struct rough_head *head, weft_deadline until)
{
	char line[1024];
	const char *value;
	size_t got;
	weft_err err;

	*head = (struct rough_head){ 0 };
	while (!(err = weft_conn_read_line(conn, line, sizeof(line), &got, until))) {
		if (!head->status) {
			/* else it was cut */
			want(line[got - 1] != '\n' || strncmp(line, "HTTP/1.1 ", 9) == 0);
			head->status = (unsigned)atoi(line + (got < 9 ? got : 9));
		}
		if (strcmp(line, "\r\n") == 0)
			return WEFT_OK;
		if ((value = value_of(line, "Content-Length")))
			head->length = strtoul(value, NULL, 10);
		if ((value = value_of(line, "Content-Type")))
			head->is_stream = strncmp(value, "text/event-stream", 17) == 0;
		if ((value = value_of(line, "Mcp-Session-Id")))
			(void)snprintf(head->session, sizeof(head->session), "%.*s",
				(int)strcspn(value, "\r"), value);
	}
	return err;
}

weft_err rough_body(weft_conn *conn, const struct rough_head *head, char *text, size_t size,
	weft_deadline until)
{
	weft_err err = WEFT_EMSGSIZE;

	if (head->length < size)
		err = weft_conn_read_full(conn, text, head->length, NULL, until);
	text[err ? 0 : head->length] = '\0';
	return err;
}

static void take_line(struct rough_event *event, const char *line)
{
	const char *value;

	if ((value = value_of(line, "id")))
		(void)snprintf(event->id, sizeof(event->id), "%s", value);
	if ((value = value_of(line, "event")))
		(void)snprintf(event->name, sizeof(event->name), "%.31s", value);
	if ((value = value_of(line, "data")))
		want((size_t)snprintf(event->data, event->size, "%s", value) < event->size);
}

/* Lines of chunks' sizes are none of an event's; an empty line behind nothing is a chunk's end. */
static weft_err read_event(
	weft_conn *conn, struct rough_event *event, char *line, weft_deadline until)
{
	size_t got;
	weft_err err;

	while (!(err = weft_conn_read_line(conn, line, LINE_MAX_SIZE, &got, until))) {
		bool is_cut = line[got - 1] != '\n';

		line[strcspn(line, "\r\n")] = '\0';
		if (is_cut)
			continue;
		if (strcmp(line, "0") == 0)
			return WEFT_ECLOSED;
		if (!*line && (*event->id || *event->data))
			return WEFT_OK;
		take_line(event, line);
	}
	return err == WEFT_ECLOSED ? WEFT_ERESET : err;
}

weft_err rough_event(weft_conn *conn, struct rough_event *event, weft_deadline until)
{
	char *line = malloc(LINE_MAX_SIZE);
	weft_err err;

	want(line != NULL);
	*event->id = *event->name = *event->data = '\0';
	err = read_event(conn, event, line, until);
	free(line);
	return err;
}
