/* SPDX-License-Identifier: MIT */
/*
 * A request's body that does not fit into the first write, or comes from a function: a fiber of its
 * own sends it, so that a response that comes early is read at once. It belongs to a scope of its
 * own, which whoever has the response frees.
 *
 * Who reads learns of the sender's end by the connection: where sending failed for a reason of
 * its own (the function's, a stall) it aborts the connection; where the peer has gone, the reader
 * finds the same, and perhaps the response that explains it.
 */
#include "base/mem.h"
#include "http/client.h"

#include <string.h>

#define CHUNK_ROOM ((size_t)32 << 10) /* bytes of the block that a function fills in */
#define TRAILERS_SIZE_FIRST ((size_t)1 << 10)

struct client_sender {
	weft_scope *scope;
	weft_http_client *client;
	weft_conn *conn;
	const char *body; /* the rest of it; or a function: */
	size_t body_size;
	weft_http_body_fn read;
	void *user;
	uint64_t length; /* of what the function gives; 0: chunks */
	const weft_http_fields *trailers;
	/* the fiber's, until it has ended */
	weft_buf block;
	weft_err err;
	struct err_slot failure;
	weft_deadline ended_at;
	/* for a reason of its own: the connection is aborted, the fiber about to end */
	struct counter gave_up;
};

/* --- the fiber ------------------------------------------------------------------------------ */

/* All of it, each part of it within the time that a stall may last. */
static weft_err send_bytes(struct client_sender *s, const char *data, size_t size)
{
	int64_t stall = s->client->options.stall_timeout_ns;
	size_t written;
	weft_err err;

	do {
		err = weft_conn_write(s->conn, data, size, &written, client_after(stall));
		data += written;
		size -= written;
	} while (err == WEFT_ETIMEDOUT && written > 0);
	return err;
}

static weft_err give_up(struct client_sender *s, weft_err err)
{
	counter_set(&s->gave_up, 1);
	weft_conn_abort(s->conn);
	return err;
}

/* What the function gives, into the block with room in front and behind. */
static weft_err next_piece(struct client_sender *s, size_t max, size_t *got)
{
	weft_err err;

	*got = 0;
	err = s->read(s->user, s->block.data + HTTP1_CHUNK_HEAD_MAX, max, got, WEFT_FOREVER);
	if (!err && (*got == 0 || *got > max))
		return err_setf(WEFT_EINVAL, "body_read gave %zu bytes of %zu", *got, max);
	if (err && err_slot_self()->err != err)
		return err_set(err); /* it need not have set a detail */
	return err;
}

static weft_err send_trailers(struct client_sender *s)
{
	struct http1_out out;
	size_t size = TRAILERS_SIZE_FIRST;
	char *text = NULL;
	weft_err err = WEFT_OK;

	if (!s->trailers || weft_http_fields_count(s->trailers) == 0)
		return send_bytes(s, HTTP1_LAST_CHUNK, sizeof(HTTP1_LAST_CHUNK) - 1);
	do {
		mem_free(text);
		text = mem_alloc(size);
		if (!text)
			return err_set(WEFT_ENOMEM);
		http1_out_init(&out, text, size);
		http1_put_last_chunk(&out);
		for (size_t i = 0; i < s->trailers->len; i++) {
			const struct http_field *field = &s->trailers->list[i];

			http1_put_field(
				&out, field->name, field->name_len, field->value, field->value_len);
		}
		(void)http1_put_end(&out);
		size = out.len;
	} while (out.fault == HTTP1_WRITE_SPACE);
	if (out.fault)
		err = err_setf(WEFT_EINVAL, "trailers: %s", http1_write_fault_text(out.fault));
	else
		err = send_bytes(s, text, out.len);
	mem_free(text);
	return err;
}

static weft_err send_chunks(struct client_sender *s)
{
	char *data = (char *)s->block.data + HTTP1_CHUNK_HEAD_MAX, *begin;
	size_t got;
	weft_err err;

	for (;;) {
		err = next_piece(s, CHUNK_ROOM, &got);
		if (err == WEFT_ECLOSED)
			break;
		if (err)
			return give_up(s, err);
		begin = http1_chunk_head_before(data, got);
		memcpy(data + got, HTTP1_CHUNK_END, sizeof(HTTP1_CHUNK_END) - 1);
		err = send_bytes(s, begin, (size_t)(data - begin) + got + 2);
		if (err)
			return err;
	}
	err = send_trailers(s);
	return err == WEFT_EINVAL || err == WEFT_ENOMEM ? give_up(s, err) : err;
}

static weft_err send_counted(struct client_sender *s)
{
	uint64_t left = s->length;
	weft_err err;
	size_t got;

	while (left) {
		err = next_piece(s, left < CHUNK_ROOM ? (size_t)left : CHUNK_ROOM, &got);
		if (err == WEFT_ECLOSED)
			err = err_setf(WEFT_EINVAL, "body_read ended %llu bytes before body_length",
				(unsigned long long)left);
		if (err)
			return give_up(s, err);
		err = send_bytes(s, (char *)s->block.data + HTTP1_CHUNK_HEAD_MAX, got);
		if (err)
			return err;
		left -= got;
	}
	return WEFT_OK;
}

static weft_err sender_fiber(void *arg)
{
	struct client_sender *s = arg;
	weft_err err;

	if (!s->read)
		err = send_bytes(s, s->body, s->body_size);
	else if (s->length)
		err = send_counted(s);
	else
		err = send_chunks(s);
	if (err == WEFT_ETIMEDOUT && !counter_get(&s->gave_up))
		err = give_up(s, err_setf(err, "sending the body: timed out"));
	s->err = err;
	if (err)
		err_slot_copy(&s->failure, err_slot_self());
	s->ended_at = weft_now();
	return WEFT_OK;
}

/* --- its owner ------------------------------------------------------------------------------ */

weft_err client_sender_start(
	struct weft_http_response *r, const weft_http_request *request, size_t from)
{
	struct client_sender *s = mem_calloc(1, sizeof(*s));
	weft_err err;

	if (!s)
		return err_set(WEFT_ENOMEM);
	s->client = r->client;
	s->conn = r->conn->conn;
	s->body = request->body ? (const char *)request->body + from : NULL;
	s->body_size = request->body ? request->body_size - from : 0;
	s->read = request->body_read;
	s->user = request->body_user;
	s->length = request->body_length;
	s->trailers = request->trailers;
	err = s->read ? weft_buf_alloc(&s->block, s->client->buffers,
				HTTP1_CHUNK_HEAD_MAX + CHUNK_ROOM + sizeof(HTTP1_CHUNK_END))
		      : WEFT_OK;
	if (!err)
		err = weft_scope_create(&s->scope);
	if (!err)
		err = weft_scope_spawn(s->scope, "http body", sender_fiber, s);
	if (err)
		client_sender_free(s);
	else
		r->sender = s;
	return err;
}

weft_err client_body_begin(struct client_call *call)
{
	call->awaits_continue = false;
	return client_sender_start(call->response, call->request, 0);
}

weft_deadline client_sender_ended(const struct client_sender *sender)
{
	/* the count's lock gives what the fiber wrote */
	return weft_scope_count(sender->scope) == 0 ? sender->ended_at : 0;
}

bool client_sender_gave_up(const struct client_sender *sender)
{
	weft_err err;

	if (!counter_get(&sender->gave_up))
		return false;
	/* a thread may hear of the abort before the fiber has said why */
	weft_shield_begin();
	err = weft_scope_wait(sender->scope, WEFT_FOREVER);
	weft_shield_end();
	return !err;
}

weft_err client_sender_result(const struct client_sender *sender)
{
	if (sender->err)
		err_slot_copy(err_slot_self(), &sender->failure);
	return sender->err;
}

weft_err client_sender_wait(struct client_sender *sender, weft_deadline until)
{
	weft_err err = weft_scope_wait(sender->scope, until);

	return err ? err : client_sender_result(sender);
}

void client_sender_free(struct client_sender *sender)
{
	if (!sender)
		return;
	weft_scope_free(sender->scope);
	err_slot_fini(&sender->failure);
	weft_buf_unref(&sender->block);
	mem_free(sender);
}
