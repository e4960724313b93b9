/* SPDX-License-Identifier: MIT */
/*
 * Server-Sent Events without a connection: some are written, and read again in pieces of 7 bytes, as
 * a network might cut them.
 */
#include <weft/sse.h>

#include <stdio.h>
#include <string.h>

#define PIECE 7

static weft_sse_event message(const char *id, const char *data)
{
	return (weft_sse_event){ .id = id, .data = data, .data_len = strlen(data) };
}

/* All of them, one behind the other. */
static weft_err write_all(char *to, size_t size, size_t *len)
{
	const weft_sse_event events[] = {
		{ .kind = WEFT_SSE_RETRY, .retry_ms = 1500 },
		message("1", ""), /* names the stream's place, and says nothing */
		message("2", "{\"jsonrpc\":\"2.0\",\"method\":\"hello\"}"),
		{ .kind = WEFT_SSE_COMMENT, .data = "still here", .data_len = 10 },
		message("3", "two\nlines"),
	};
	weft_err err = WEFT_OK;

	*len = 0;
	for (size_t i = 0; i < sizeof(events) / sizeof(*events) && !err; i++) {
		size_t written = 0;

		err = weft_sse_write(&events[i], to + *len, size - *len, &written);
		*len += written;
	}
	return err;
}

static void show(const weft_sse_event *event)
{
	if (event->kind == WEFT_SSE_COMMENT)
		printf("comment: %.*s\n", (int)event->data_len, event->data);
	else
		printf("%s %s: %.*s\n", event->type, event->id, (int)event->data_len, event->data);
}

/* What has come; whatever of an event is not there yet the parser keeps. */
static weft_err read_piece(weft_sse_parser *parser, const char *bytes, size_t len)
{
	const uint8_t *data = (const uint8_t *)bytes;
	weft_sse_event event;
	weft_err err;

	while (!(err = weft_sse_parser_next(parser, &data, &len, &event)) && event.kind)
		show(&event);
	return err;
}

int main(void)
{
	weft_sse_options options = { .report_comments = true };
	weft_sse_parser *parser = NULL;
	char stream[512];
	size_t len = 0;
	weft_err err = write_all(stream, sizeof(stream), &len);

	if (!err)
		err = weft_sse_parser_create(&parser, &options);
	for (size_t at = 0; at < len && !err; at += PIECE)
		err = read_piece(parser, stream + at, len - at < PIECE ? len - at : PIECE);
	if (!err)
		printf("after a loss: wait %d ms, Last-Event-ID: %s\n",
			(int)weft_sse_parser_retry_ms(parser), weft_sse_parser_last_id(parser));
	weft_sse_parser_free(parser);
	if (err)
		fprintf(stderr, "sse: %s\n", weft_error_detail());
	return err ? 1 : 0;
}
