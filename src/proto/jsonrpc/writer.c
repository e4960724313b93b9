/* SPDX-License-Identifier: MIT */
/*
 * Messages of parts. One walk over the parts yields pieces, which are counted, copied or listed: so
 * that all three agree. Costs: params, result and data are copied once, or not at all.
 */
#include "base/err.h"

#include <weft/jsonrpc.h>

#include <string.h>

/* Where the pieces go. */
struct sink {
	char *to;	   /* NULL: only count */
	size_t len;	   /* of all */
	bool refer;	   /* large parts are listed where they lie */
	size_t at;	   /* bytes at to */
	size_t listed;	   /* of these, in iov already */
	struct iovec *iov; /* while refer and to */
	unsigned iov_count;
};

static void put(struct sink *s, const char *bytes, size_t len)
{
	if (s->to && len > 0)
		memcpy(s->to + s->at, bytes, len);
	s->at += len;
	s->len += len;
}

static void put_word(struct sink *s, const char *word)
{
	put(s, word, strlen(word));
}

static void list(struct sink *s, const char *bytes, size_t len)
{
	/* what is only to be read has no type of its own in an iovec */
	union {
		const char *given;
		void *base;
	} piece = { bytes };

	if (len > 0)
		s->iov[s->iov_count++] = (struct iovec){ piece.base, len };
}

/* What was written since the last. */
static void list_written(struct sink *s)
{
	list(s, s->to + s->listed, s->at - s->listed);
	s->listed = s->at;
}

static void put_large(struct sink *s, weft_json part)
{
	if (!s->refer) {
		put(s, part.text, part.len);
		return;
	}
	s->len += part.len;
	if (!s->to)
		return;
	list_written(s);
	list(s, part.text, part.len);
}

static void put_string(struct sink *s, const char *text, size_t len)
{
	size_t need = weft_json_string_size(text, len), written;

	if (s->to && weft_json_string_encode(text, len, s->to + s->at, need, &written))
		return; /* never: it is as long as was said */
	s->at += need;
	s->len += need;
}

static size_t text_len(const char *text, size_t len)
{
	return len > 0 || !text ? len : strlen(text);
}

static void put_error(struct sink *s, const weft_jsonrpc_draft *d)
{
	char digits[WEFT_JSON_INTEGER_SIZE];
	weft_json code = weft_json_of_integer(d->code, digits);

	put_word(s, ",\"error\":{\"code\":");
	put(s, code.text, code.len);
	put_word(s, ",\"message\":");
	put_string(s, d->message, text_len(d->message, d->message_len));
	if (d->data.text) {
		put_word(s, ",\"data\":");
		put_large(s, d->data);
	}
	put_word(s, "}");
}

static void put_message(struct sink *s, const weft_jsonrpc_draft *d)
{
	const weft_json null = { "null", 4 };
	weft_json id = d->id;

	put_word(s, "{\"jsonrpc\":\"2.0\"");
	if (!id.text)
		id = null;
	if (d->kind != WEFT_JSONRPC_NOTIFICATION) {
		put_word(s, ",\"id\":");
		put(s, id.text, id.len);
	}
	if (d->method) {
		put_word(s, ",\"method\":");
		put_string(s, d->method, text_len(d->method, d->method_len));
	}
	if (d->params.text) {
		put_word(s, ",\"params\":");
		put_large(s, d->params);
	}
	if (d->kind == WEFT_JSONRPC_RESPONSE) {
		put_word(s, ",\"result\":");
		put_large(s, d->result.text ? d->result : null);
	}
	if (d->kind == WEFT_JSONRPC_ERROR)
		put_error(s, d);
	put_word(s, "}");
}

/* ---- what a draft may be ---- */

static weft_err wrong(const char *part, const char *what)
{
	return err_setf(WEFT_EINVAL, "JSON-RPC draft: %s %s", part, what);
}

static weft_err check_id(const weft_jsonrpc_draft *d)
{
	switch (weft_json_type_of(d->id)) {
	case WEFT_JSON_NUMBER:
	case WEFT_JSON_STRING:
	case WEFT_JSON_NULL:
		return d->kind == WEFT_JSONRPC_NOTIFICATION ? wrong("id", "of a notification")
							    : WEFT_OK;
	case WEFT_JSON_NONE:
		if (d->id.text)
			return wrong("id", "is no value");
		if (d->kind == WEFT_JSONRPC_REQUEST || d->kind == WEFT_JSONRPC_RESPONSE)
			return wrong("id", "is missing");
		return WEFT_OK;
	case WEFT_JSON_BOOLEAN:
	case WEFT_JSON_ARRAY:
	case WEFT_JSON_OBJECT:
		break;
	}
	return wrong("id", "is neither a number, a string nor null");
}

static weft_err check_value(const char *part, weft_json value)
{
	if (value.text && weft_json_type_of(value) == WEFT_JSON_NONE)
		return wrong(part, "is no value");
	return WEFT_OK;
}

static weft_err check_call(const weft_jsonrpc_draft *d)
{
	weft_json_type params = weft_json_type_of(d->params);

	if (!d->method)
		return wrong("method", "is missing");
	if (d->params.text && params != WEFT_JSON_OBJECT && params != WEFT_JSON_ARRAY)
		return wrong("params", "is neither an object nor an array");
	if (d->result.text)
		return wrong("result", "beside method");
	if (d->message || d->data.text)
		return wrong("an error's part", "beside method");
	return WEFT_OK;
}

static weft_err check_reply(const weft_jsonrpc_draft *d)
{
	weft_err err = check_value("result", d->result);

	if (!err)
		err = check_value("data", d->data);
	if (err)
		return err;
	if (d->method || d->params.text)
		return wrong("method or params", "in a reply");
	if (d->kind == WEFT_JSONRPC_RESPONSE && (d->message || d->data.text))
		return wrong("an error's part", "beside result");
	if (d->kind == WEFT_JSONRPC_ERROR && d->result.text)
		return wrong("result", "beside an error");
	if (d->kind == WEFT_JSONRPC_ERROR && !d->message)
		return wrong("message", "is missing");
	return WEFT_OK;
}

static weft_err check(const weft_jsonrpc_draft *d)
{
	weft_err err = check_id(d);

	if (err)
		return err;
	switch (d->kind) {
	case WEFT_JSONRPC_REQUEST:
	case WEFT_JSONRPC_NOTIFICATION:
		return check_call(d);
	case WEFT_JSONRPC_RESPONSE:
	case WEFT_JSONRPC_ERROR:
		return check_reply(d);
	case WEFT_JSONRPC_NONE:
	case WEFT_JSONRPC_BATCH:
	case WEFT_JSONRPC_INVALID:
		break;
	}
	return wrong("kind", "is none that can be written");
}

/* ---- ways to write it ---- */

weft_err weft_jsonrpc_size(const weft_jsonrpc_draft *draft, size_t *size)
{
	struct sink sink = { .to = NULL };
	weft_err err = check(draft);

	if (err)
		return err;
	put_message(&sink, draft);
	*size = sink.len;
	return WEFT_OK;
}

static weft_err check_room(size_t need, size_t size)
{
	if (need <= size)
		return WEFT_OK;
	return err_setf(WEFT_EMSGSIZE, "JSON-RPC draft: %zu bytes do not fit into %zu", need, size);
}

weft_err weft_jsonrpc_write(const weft_jsonrpc_draft *draft, char *to, size_t size, size_t *written)
{
	struct sink sink = { .to = to };
	size_t need = 0;
	weft_err err = weft_jsonrpc_size(draft, &need);

	if (!err)
		err = check_room(need, size);
	if (err)
		return err;
	put_message(&sink, draft);
	*written = sink.len;
	return WEFT_OK;
}

weft_err weft_jsonrpc_write_buf(weft_buf *out, weft_buf_pool *pool, const weft_jsonrpc_draft *draft)
{
	weft_buf buf;
	size_t need = 0, written;
	weft_err err = weft_jsonrpc_size(draft, &need);

	if (!err)
		err = weft_buf_alloc(&buf, pool, need);
	if (err)
		return err;
	err = weft_jsonrpc_write(draft, (char *)buf.data, need, &written);
	if (err)
		weft_buf_unref(&buf);
	else
		*out = buf;
	return err;
}

weft_err weft_jsonrpc_scratch_size(const weft_jsonrpc_draft *draft, size_t *size)
{
	struct sink sink = { .refer = true };
	weft_err err = check(draft);

	if (err)
		return err;
	put_message(&sink, draft);
	*size = sink.at;
	return WEFT_OK;
}

weft_err weft_jsonrpc_write_iov(const weft_jsonrpc_draft *draft, char *scratch, size_t size,
	struct iovec *iov, unsigned *iov_count)
{
	struct sink sink = { .to = scratch, .refer = true, .iov = iov };
	size_t need = 0;
	weft_err err = weft_jsonrpc_scratch_size(draft, &need);

	if (!err)
		err = check_room(need, size);
	if (err)
		return err;
	put_message(&sink, draft);
	list_written(&sink);
	*iov_count = sink.iov_count;
	return WEFT_OK;
}
