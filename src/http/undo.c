/* SPDX-License-Identifier: MIT */
/* See undo.h. */
#include "http/undo.h"

#include "base/err.h"
#include "base/mem.h"
#include "http/client.h"

#define READ_SIZE 16384

struct undo {
	struct client_filter filter; /* first */
	struct decode *decode;
	size_t at, len; /* of in: what is not decoded yet */
	bool has_ended; /* the response's body */
	uint8_t in[READ_SIZE];
};

static weft_err fail(weft_http_response *response, weft_err err)
{
	return client_body_fail(response, err_wrap(err, "the response's body"));
}

static weft_err undo_read(struct client_filter *filter, weft_http_response *response, void *data,
	size_t size, size_t *got, weft_deadline until)
{
	struct undo *undo = (struct undo *)filter;
	size_t taken, made;
	weft_err err;

	for (;;) {
		err = decode_bytes(undo->decode, undo->in + undo->at, undo->len - undo->at, &taken,
			data, size, &made);
		undo->at += taken;
		if (err)
			return fail(response, err);
		if (made > 0) {
			*got = made;
			return WEFT_OK;
		}
		if (undo->has_ended) {
			err = decode_end(undo->decode);
			return err ? fail(response, err) : err_set(WEFT_ECLOSED);
		}
		undo->at = undo->len = 0;
		err = client_body_read(response, undo->in, sizeof(undo->in), &undo->len, until);
		if (err == WEFT_ECLOSED)
			undo->has_ended = true;
		else if (err)
			return err;
	}
}

static void undo_free(struct client_filter *filter)
{
	struct undo *undo = (struct undo *)filter;

	decode_free(undo->decode);
	mem_free(undo);
}

weft_err undo_create(
	struct client_filter **out, enum decode_coding coding, const struct decode_limits *limits)
{
	struct undo *undo = mem_alloc(sizeof(*undo));
	weft_err err;

	if (!undo)
		return err_set(WEFT_ENOMEM);
	undo->filter = (struct client_filter){ .read = undo_read, .free = undo_free };
	undo->at = undo->len = 0;
	undo->has_ended = false;
	err = decode_create(&undo->decode, coding, limits);
	if (err)
		mem_free(undo);
	else
		*out = &undo->filter;
	return err;
}
