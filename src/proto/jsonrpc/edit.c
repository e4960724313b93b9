/* SPDX-License-Identifier: MIT */
/*
 * Other values in the place of some of a text. The edits are sorted first, by a copy on the stack;
 * then everything is one walk over at most 2 * WEFT_JSON_EDITS_MAX + 1 pieces.
 */
#include "base/err.h"

#include <weft/json.h>

#include <string.h>

/* In the order of the text, those without an old left out. */
struct sorted {
	weft_json_edit edits[WEFT_JSON_EDITS_MAX];
	unsigned count;
};

static weft_err check(const struct sorted *s, const char *text, size_t len)
{
	const char *at = text;

	for (unsigned i = 0; i < s->count; i++) {
		weft_json old = s->edits[i].old;

		if (old.text < text || old.text > text + len ||
			old.len > (size_t)(text + len - old.text))
			return err_setf(WEFT_EINVAL, "JSON edit: not within the text");
		if (old.text < at)
			return err_setf(WEFT_EINVAL, "JSON edit: two at byte %zu",
				(size_t)(old.text - text));
		at = old.text + old.len;
	}
	return WEFT_OK;
}

static weft_err sort(struct sorted *s, weft_json text, const weft_json_edit *edits, unsigned count)
{
	s->count = 0;
	for (unsigned i = 0; i < count; i++) {
		unsigned at = s->count;

		if (!edits[i].old.text)
			continue;
		if (s->count == WEFT_JSON_EDITS_MAX)
			return err_setf(
				WEFT_EINVAL, "JSON edit: more than %d", WEFT_JSON_EDITS_MAX);
		if (!edits[i].value.text || edits[i].value.len == 0)
			return err_setf(WEFT_EINVAL, "JSON edit: no value to put there");
		for (; at > 0 && s->edits[at - 1].old.text > edits[i].old.text; at--)
			s->edits[at] = s->edits[at - 1];
		s->edits[at] = edits[i];
		s->count++;
	}
	return check(s, text.text, text.len);
}

static size_t size_of(const struct sorted *s, size_t len)
{
	for (unsigned i = 0; i < s->count; i++)
		len -= s->edits[i].old.len;
	for (unsigned i = 0; i < s->count; i++)
		len += s->edits[i].value.len;
	return len;
}

weft_err weft_json_edit_in_place(
	char *text, size_t len, const weft_json_edit *edits, unsigned count)
{
	struct sorted s;
	weft_err err = sort(&s, (weft_json){ text, len }, edits, count);

	if (err)
		return err;
	for (unsigned i = 0; i < s.count; i++) {
		if (s.edits[i].value.len > s.edits[i].old.len)
			return err_set(WEFT_EMSGSIZE);
	}
	for (unsigned i = 0; i < s.count; i++) {
		weft_json old = s.edits[i].old, value = s.edits[i].value;
		char *to = text + (old.text - text);

		memmove(to, value.text, value.len);
		memset(to + value.len, ' ', old.len - value.len);
	}
	return WEFT_OK;
}

weft_err weft_json_edit_size(
	weft_json text, const weft_json_edit *edits, unsigned count, size_t *size)
{
	struct sorted s;
	weft_err err = sort(&s, text, edits, count);

	if (!err)
		*size = size_of(&s, text.len);
	return err;
}

static void add_piece(struct iovec *iov, unsigned *count, const char *bytes, size_t len)
{
	/* what is only to be read has no type of its own there */
	union {
		const char *given;
		void *base;
	} piece = { bytes };

	if (len == 0)
		return;
	iov[*count] = (struct iovec){ piece.base, len };
	(*count)++;
}

static unsigned pieces(const struct sorted *s, weft_json text, struct iovec *iov)
{
	const char *at = text.text;
	unsigned count = 0;

	for (unsigned i = 0; i < s->count; i++) {
		weft_json old = s->edits[i].old;

		add_piece(iov, &count, at, (size_t)(old.text - at));
		add_piece(iov, &count, s->edits[i].value.text, s->edits[i].value.len);
		at = old.text + old.len;
	}
	add_piece(iov, &count, at, (size_t)(text.text + text.len - at));
	return count;
}

static void gather(char *to, const struct iovec *iov, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
}

weft_err weft_json_edit_write(weft_json text, const weft_json_edit *edits, unsigned count, char *to,
	size_t size, size_t *written)
{
	struct iovec iov[WEFT_JSON_EDIT_IOV_MAX];
	struct sorted s;
	weft_err err = sort(&s, text, edits, count);
	size_t need;

	if (err)
		return err;
	need = size_of(&s, text.len);
	if (need > size)
		return err_setf(
			WEFT_EMSGSIZE, "JSON edit: %zu bytes do not fit into %zu", need, size);
	gather(to, iov, pieces(&s, text, iov));
	*written = need;
	return WEFT_OK;
}

weft_err weft_json_edit_buf(weft_buf *out, weft_buf_pool *pool, weft_json text,
	const weft_json_edit *edits, unsigned count)
{
	struct iovec iov[WEFT_JSON_EDIT_IOV_MAX];
	struct sorted s;
	weft_buf buf;
	weft_err err = sort(&s, text, edits, count);

	if (!err)
		err = weft_buf_alloc(&buf, pool, size_of(&s, text.len));
	if (err)
		return err;
	gather((char *)buf.data, iov, pieces(&s, text, iov));
	*out = buf;
	return WEFT_OK;
}

weft_err weft_json_edit_iov(weft_json text, const weft_json_edit *edits, unsigned count,
	struct iovec *iov, unsigned *iov_count)
{
	struct sorted s;
	weft_err err = sort(&s, text, edits, count);

	if (!err)
		*iov_count = pieces(&s, text, iov);
	return err;
}
