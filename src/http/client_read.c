/* SPDX-License-Identifier: MIT */
/* A response's block, and its head: read until it is whole, interim ones passed over. */
#include "base/mem.h"
#include "http/client.h"

#include <string.h>

#define ARRAYS_ENTRY (sizeof(struct http1_field) + sizeof(struct http_field))

/* --- the block ------------------------------------------------------------------------------ */

static weft_err block_alloc(weft_buf *out, const weft_http_client *client, size_t cap)
{
	size_t arrays = client->options.fields_max * ARRAYS_ENTRY;
	size_t size = arrays + cap;

	if (size < CLIENT_BLOCK_SIZE)
		size = CLIENT_BLOCK_SIZE;
	return weft_buf_alloc(out, client->buffers, size);
}

static void block_use(struct weft_http_response *r, weft_buf *block)
{
	size_t count = r->client->options.fields_max;

	r->block = *block;
	r->raw = (struct http1_field *)(void *)block->data;
	r->views = (struct http_field *)(void *)(block->data + count * sizeof(struct http1_field));
	r->data = (char *)block->data + count * ARRAYS_ENTRY;
	r->cap = block->len - count * ARRAYS_ENTRY;
}

static void parser_begin(struct weft_http_response *r)
{
	const weft_http_client_options *o = &r->client->options;
	struct http1_limits limits = { HTTP1_START_MAX, (uint32_t)o->head_size_max };

	if (limits.start_max > limits.head_max)
		limits.start_max = limits.head_max;
	http1_parser_init(&r->parser, HTTP1_RESPONSE, r->raw, (uint16_t)o->fields_max, &limits);
	http1_parser_reset(&r->parser, r->answers);
}

weft_err client_response_init(struct client_conn *conn)
{
	struct weft_http_response *r = &conn->response;
	weft_buf block = WEFT_BUF_EMPTY;
	weft_err err;

	err = block_alloc(&block, conn->client, CLIENT_BODY_ROOM);
	if (err)
		return err;
	memset(r, 0, sizeof(*r));
	r->conn = conn;
	r->client = conn->client;
	r->keep = true;
	block_use(r, &block);
	parser_begin(r);
	return WEFT_OK;
}

void client_response_fini(struct weft_http_response *r)
{
	client_sender_free(r->sender);
	r->sender = NULL;
	if (r->filter)
		r->filter->free(r->filter);
	mem_free(r->url);
	err_slot_fini(&r->failure);
	http_fields_fini(&r->fields);
	http_fields_fini(&r->trailers);
	weft_buf_unref(&r->block);
	weft_buf_unref(&r->body_block);
}

weft_err client_block_grow(struct weft_http_response *r, size_t cap)
{
	weft_buf old = r->block, block = WEFT_BUF_EMPTY;
	const char *data = r->data;
	weft_err err;

	if (cap > WEFT_BUF_SIZE_MAX / 2)
		return err_setf(
			WEFT_EMSGSIZE, "a head of more than %zu bytes", WEFT_BUF_SIZE_MAX / 2);
	err = block_alloc(&block, r->client, cap);
	if (err)
		return err;
	block_use(r, &block);
	memcpy(r->data, data, r->len);
	weft_buf_unref(&old);
	parser_begin(r); /* from the start: its fields lie elsewhere now */
	return WEFT_OK;
}

/* --- reading -------------------------------------------------------------------------------- */

static weft_err fault(const struct http1_parser *parser)
{
	weft_err err = parser->fault == HTTP1_FAULT_HEAD_LONG ||
			parser->fault == HTTP1_FAULT_FIELDS ||
			parser->fault == HTTP1_FAULT_START_LONG
		? WEFT_EMSGSIZE
		: WEFT_EPROTO;

	return err_setf(err, "the response's head: %s", http1_fault_text(parser->fault));
}

static weft_err ended(const struct weft_http_response *r)
{
	if (!r->got_bytes)
		return err_setf(WEFT_ERESET, "the server closed the connection without a response");
	return err_setf(WEFT_ERESET, "the connection ended within the response's head");
}

static weft_err read_more(struct weft_http_response *r, weft_deadline until)
{
	size_t max = r->client->options.head_size_max, got;
	weft_err err;

	if (r->len == r->cap) {
		if (r->cap >= max)
			return err_setf(
				WEFT_EMSGSIZE, "the response's head is longer than %zu bytes", max);
		err = client_block_grow(r, r->cap * 2 < max ? r->cap * 2 : max);
		if (err)
			return err;
	}
	err = weft_conn_read(r->conn->conn, r->data + r->len, r->cap - r->len, &got, until);
	if (err == WEFT_ECLOSED)
		return ended(r);
	if (err)
		return err;
	if (!r->first_byte)
		r->first_byte = weft_now();
	r->at_once = !r->got_bytes;
	r->got_bytes = true;
	r->len += got;
	return WEFT_OK;
}

/* Behind an interim response; what follows is moved to the front. */
static void pass_interim(struct client_call *call, unsigned *count)
{
	struct weft_http_response *r = call->response;
	const struct http1_head *head = &r->parser.head;
	const weft_http_request *request = call->request;

	++*count;
	if (request->on_interim) {
		http1_head_terminate(head, r->data);
		request->on_interim(request->user, head->status, weft_http_response_fields(r));
		http_fields_fini(&r->fields);
		r->indexed = false;
	}
	r->len -= head->size;
	memmove(r->data, r->data + head->size, r->len);
	if (!r->len)
		r->first_byte = 0; /* the final one's is meant */
	http1_parser_reset(&r->parser, r->answers);
}

/* How long to wait for more of the head. */
static weft_deadline head_deadline(const struct client_call *call, weft_deadline expect_until)
{
	const struct weft_http_response *r = call->response;
	int64_t timeout = call->client->options.head_timeout_ns;
	weft_deadline from = r->sent;

	if (call->awaits_continue)
		return client_earlier(call->until, expect_until);
	if (timeout == INT64_MAX)
		return call->until;
	if (r->sender) {
		from = client_sender_ended(r->sender);
		if (!from)
			from = weft_now(); /* it sends: looked at again then */
	}
	return client_earlier(call->until, from + timeout);
}

/* After a time-out: whether to read on. */
static bool may_read_on(struct client_call *call, weft_deadline expect_until, weft_err *err)
{
	weft_deadline now = weft_now();

	if (now >= call->until)
		return false;
	if (call->awaits_continue) {
		*err = client_body_begin(call);
		return !*err;
	}
	return head_deadline(call, expect_until) > now;
}

/* The next head, whatever its status. */
static weft_err next_head(struct client_call *call, weft_deadline expect_until)
{
	struct weft_http_response *r = call->response;
	enum http1_step step;
	weft_err err;

	while ((step = http1_parse(&r->parser, r->data, r->len)) == HTTP1_MORE) {
		err = read_more(r, head_deadline(call, expect_until));
		if (err == WEFT_ETIMEDOUT && may_read_on(call, expect_until, &err))
			continue;
		if (err)
			return err;
	}
	return step == HTTP1_BAD ? fault(&r->parser) : WEFT_OK;
}

weft_err client_read_head(struct client_call *call)
{
	struct weft_http_response *r = call->response;
	const weft_http_client_options *o = &call->client->options;
	weft_deadline expect_until = client_since(r->sent, o->expect_timeout_ns);
	unsigned interim = 0, status;
	weft_err err;

	r->answers = call->known;
	http1_parser_reset(&r->parser, r->answers);
	for (;;) {
		err = next_head(call, expect_until);
		if (err)
			return err;
		status = r->parser.head.status;
		if (status >= 200 || (status == 101 && call->request->upgrade))
			return WEFT_OK;
		if (status == 101)
			return err_setf(WEFT_EPROTO, "101 without a request for an upgrade");
		if (interim == o->interim_max)
			return err_setf(WEFT_EPROTO, "more than %u responses before the final one",
				o->interim_max);
		pass_interim(call, &interim);
		if (status == 100 && call->awaits_continue)
			err = client_body_begin(call);
		if (err)
			return err;
	}
}
