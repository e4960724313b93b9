/* SPDX-License-Identifier: MIT */
/* Lines of a recording. */
#define _POSIX_C_SOURCE 200809L
#include "base/err.h"
#include "base/mem.h"
#include "bridge/replay.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define ROOM_FIRST ((size_t)64 << 10)

/* ---- bytes ---- */

static weft_err room_make(struct replay_reader *r)
{
	size_t room = r->room ? 2 * r->room : ROOM_FIRST;
	char *buffer;

	if (r->begin > 0) {
		memmove(r->buffer, r->buffer + r->begin, r->end - r->begin);
		r->end -= r->begin;
		r->begin = 0;
	}
	if (r->end < r->room)
		return WEFT_OK;
	if (r->room > r->line_max)
		return err_set(WEFT_EMSGSIZE);
	buffer = mem_realloc(r->buffer, room);
	if (!buffer)
		return err_set(WEFT_ENOMEM);
	r->buffer = buffer;
	r->room = room;
	return WEFT_OK;
}

static weft_err fill(struct replay_reader *r)
{
	weft_err err = room_make(r);
	ssize_t got;

	if (err)
		return err;
	do
		got = read(r->fd, r->buffer + r->end, r->room - r->end);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_sys(errno, "read");
	r->end += (size_t)got;
	r->is_over = got == 0;
	return WEFT_OK;
}

weft_err replay_reader_next(
	struct replay_reader *reader, const char **text, size_t *len, bool *is_whole)
{
	struct replay_reader *r = reader;
	const char *stop = NULL;
	size_t looked = 0;
	weft_err err;

	r->number++;
	for (;;) {
		if (r->end - r->begin > looked)
			stop = memchr(
				r->buffer + r->begin + looked, '\n', r->end - r->begin - looked);
		if (stop || r->is_over)
			break;
		looked = r->end - r->begin;
		err = fill(r);
		if (err)
			return err;
	}
	if (!stop && r->end == r->begin)
		return WEFT_ENOTFOUND;
	*text = r->buffer + r->begin;
	*len = stop ? (size_t)(stop - *text) : r->end - r->begin;
	*is_whole = stop;
	if (*len > r->line_max)
		return err_set(WEFT_EMSGSIZE);
	r->begin += *len + (stop ? 1 : 0);
	r->offset += *len + (stop ? 1 : 0);
	return WEFT_OK;
}

/* ---- what stands in it ---- */

struct members {
	weft_json time, run, session, direction, server, message, invalid, lost, torn;
};

static weft_err members_find(struct members *m, weft_json object)
{
	const struct {
		const char *name;
		weft_json *to;
	} known[] = { { "time", &m->time }, { "run", &m->run }, { "session", &m->session },
		{ "direction", &m->direction }, { "server", &m->server },
		{ "message", &m->message }, { "invalid", &m->invalid }, { "lost", &m->lost },
		{ "torn", &m->torn } };
	weft_json_iter iter = weft_json_iter_of(object);
	weft_json name, value;
	weft_err err;

	while (!(err = weft_json_next(&iter, &name, &value))) {
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			if (!weft_json_string_is(name, known[i].name))
				continue;
			if (known[i].to->text)
				return err_setf(
					WEFT_EPROTO, "\"%s\" is there twice", known[i].name);
			*known[i].to = value;
		}
	}
	return err == WEFT_ENOTFOUND ? WEFT_OK : err;
}

static weft_err number_of(weft_json value, const char *name, uint64_t *out)
{
	int64_t number;

	if (weft_json_integer(value, &number) || number < 0)
		return err_setf(WEFT_EPROTO, "\"%s\" is no number", name);
	*out = (uint64_t)number;
	return WEFT_OK;
}

static weft_err head_of(struct replay_line *out, const struct members *m)
{
	const char *text;
	size_t len;

	if (weft_json_string_view(m->time, &text, &len) ||
		!record_time_read(text, len, &out->time_ns))
		return err_setf(WEFT_EPROTO,
			"\"time\" is missing, or not like 2026-11-21T22:30:00.123456Z");
	if (weft_json_string_view(m->run, &text, &len) || len != RECORD_RUN_LEN)
		return err_setf(WEFT_EPROTO, "\"run\" is missing, or has not %d characters",
			RECORD_RUN_LEN);
	memcpy(out->run, text, len);
	out->run[len] = '\0';
	return WEFT_OK;
}

static weft_err message_of(struct replay_line *out, const struct members *m)
{
	const weft_json_limits limits = { SIZE_MAX, REPLAY_DEPTH_MAX };
	weft_err err = number_of(m->session, "session", &out->session);

	if (err)
		return err;
	out->server = m->server;
	out->is_to_server = weft_json_string_is(m->direction, "to_server");
	if (!out->is_to_server && !weft_json_string_is(m->direction, "to_client"))
		return err_setf(WEFT_EPROTO, "\"direction\" is neither to_server nor to_client");
	if (m->invalid.text) {
		out->kind = REPLAY_INVALID;
		return WEFT_OK;
	}
	out->kind = REPLAY_MESSAGE;
	(void)weft_jsonrpc_scan(&out->rpc, m->message.text, m->message.len, &limits);
	if (out->rpc.kind == WEFT_JSONRPC_BATCH)
		return err_setf(WEFT_EPROTO, "\"message\" is a batch");
	err = weft_jsonrpc_check(&out->rpc);
	return err ? err_wrap(WEFT_EPROTO, "\"message\"") : WEFT_OK;
}

weft_err replay_line_parse(struct replay_line *out, const char *text, size_t len)
{
	const weft_json_limits limits = { SIZE_MAX, REPLAY_DEPTH_MAX };
	struct members m = { 0 };
	weft_json object;
	weft_err err = weft_json_check(&object, text, len, &limits);

	memset(out, 0, sizeof(*out));
	if (err)
		return err_set_code(WEFT_EPROTO);
	if (weft_json_type_of(object) != WEFT_JSON_OBJECT)
		return err_setf(WEFT_EPROTO, "no object");
	err = members_find(&m, object);
	if (!err)
		err = head_of(out, &m);
	if (err)
		return err;
	if (m.message.text)
		return message_of(out, &m);
	if (m.torn.text) {
		out->kind = REPLAY_TORN;
		return WEFT_OK;
	}
	out->kind = REPLAY_LOST;
	if (!m.lost.text)
		return err_setf(WEFT_EPROTO, "\"message\" is missing");
	return number_of(m.lost, "lost", &out->lost);
}
