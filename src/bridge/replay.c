/* SPDX-License-Identifier: MIT */
/* A recording and its index: one pass over the file. */
#define _POSIX_C_SOURCE 200809L
#include "bridge/replay.h"

#include "base/err.h"
#include "base/mem.h"

#include <weft/runtime.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MESSAGE_SIZE_DEFAULT ((size_t)10 << 20)
#define LINE_MORE ((size_t)64 << 10) /* bytes of a line beside its message */
#define INVALID_LINE_MAX (6 * RECORD_INVALID_MAX + LINE_MORE)
#define SECOND_NS INT64_C(1000000000)
#define SPEED_MAX 1e6
#define SESSIONS_AT_ONCE 64

/* What the keys of `names` are made of. */
enum salt { SALT_SESSION = 11, SALT_REQUEST, SALT_QUESTION, SALT_TOKEN };

/* ---- while reading ---- */

struct scan {
	weft_replay *replay;
	struct replay_reader reader;
	bool was_bad; /* the line before; as bad says */
	size_t bad;   /* number of that line */
	char why[REPLAY_TEXT_MAX];
};

static uint64_t name_key(const weft_replay *r, enum salt salt, uint64_t within, uint64_t what)
{
	return hash_number(&r->seed,
		hash_number(&r->seed, hash_number(&r->seed, (uint64_t)salt) + within) + what);
}

static weft_err json_key(
	const weft_replay *r, enum salt salt, uint32_t session, weft_json value, uint64_t *out)
{
	uint64_t h;
	weft_err err = replay_hash(&r->seed, value, &h);

	if (!err)
		*out = name_key(r, salt, session, h);
	return err;
}

/* The array with room for one more: it doubles. NULL: out of memory, the array is as it was. */
static void *grown(void *items, size_t *room, size_t count, size_t size)
{
	size_t more = *room ? 2 * *room : 64;

	if (count < *room)
		return items;
	items = mem_realloc_array(items, more, size);
	if (items)
		*room = more;
	return items;
}

/* "7" or "5b1f0c9a/7". */
static bool is_wanted(const weft_replay *r, const struct replay_line *line)
{
	const char *number = r->session, *slash = number ? strchr(number, '/') : NULL;
	char text[WEFT_JSON_INTEGER_SIZE + 1];

	if (r->server && !weft_json_string_is(line->server, r->server))
		return false;
	if (!number)
		return true;
	if (slash) {
		if ((size_t)(slash - number) != RECORD_RUN_LEN ||
			memcmp(number, line->run, RECORD_RUN_LEN) != 0)
			return false;
		number = slash + 1;
	}
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)line->session);
	return strcmp(text, number) == 0;
}

static weft_err session_of(weft_replay *r, const struct replay_line *line, uint32_t *out)
{
	uint64_t key = name_key(
		r, SALT_SESSION, hash_bytes(&r->seed, line->run, RECORD_RUN_LEN), line->session);
	struct replay_session *s;
	uint64_t found;

	if (weft_map_get(r->names, weft_map_int(key), &found)) {
		*out = (uint32_t)found;
		return WEFT_OK;
	}
	if (r->sessions_count == WEFT_REPLAY_SESSIONS_MAX)
		return err_setf(WEFT_ECAPACITY, "more than %zu sessions: choose one",
			WEFT_REPLAY_SESSIONS_MAX);
	s = grown(r->sessions, &r->sessions_room, r->sessions_count, sizeof(*s));
	if (!s)
		return err_set(WEFT_ENOMEM);
	r->sessions = s;
	if (weft_map_insert(r->names, weft_map_int(key), r->sessions_count))
		return err_set(WEFT_ENOMEM);
	*out = (uint32_t)r->sessions_count;
	s = &r->sessions[r->sessions_count++];
	memcpy(s->run, line->run, sizeof(s->run));
	s->number = line->session;
	s->first = s->last = s->open = REPLAY_NONE;
	return WEFT_OK;
}

static weft_err entry_add(struct scan *scan, const struct replay_line *line, size_t len,
	uint64_t offset, uint32_t *out)
{
	weft_replay *r = scan->replay;
	struct replay_session *s;
	struct replay_entry *e;
	uint32_t session = 0;
	weft_err err;

	if (r->count == WEFT_REPLAY_MESSAGES_MAX)
		return err_setf(WEFT_ECAPACITY, "more than %zu messages: choose a session",
			WEFT_REPLAY_MESSAGES_MAX);
	err = session_of(r, line, &session);
	if (err)
		return err;
	e = grown(r->entries, &r->room, r->count, sizeof(*e));
	if (!e)
		return err_set(WEFT_ENOMEM);
	r->entries = e;
	*out = (uint32_t)r->count;
	e = &r->entries[r->count++];
	*e = (struct replay_entry){ .offset = offset,
		.time_ns = line->time_ns,
		.len = (uint32_t)len,
		.line = (uint32_t)scan->reader.number,
		.session = session,
		.next = REPLAY_NONE,
		.partner = REPLAY_NONE,
		.owner = REPLAY_NONE,
		.same = REPLAY_NONE,
		.kind = (uint8_t)line->rpc.kind,
		.is_to_server = line->is_to_server };
	s = &r->sessions[session];
	if (s->last == REPLAY_NONE)
		s->first = *out;
	else
		r->entries[s->last].next = *out;
	s->last = *out;
	return WEFT_OK;
}

/* ---- who answers whom ---- */

static weft_err group_add(weft_replay *r, uint64_t key, uint32_t request)
{
	struct replay_group *g;
	uint64_t found;
	weft_err err;

	if (weft_map_get(r->groups, weft_map_int(key), &found)) {
		g = weft_map_pointer(found);
		/* the chain is that of the key of method and params; by method the first will do */
		if (key != r->entries[request].key)
			return WEFT_OK;
		r->entries[g->last].same = request;
		g->last = request;
		return WEFT_OK;
	}
	g = mem_alloc(sizeof(*g));
	if (!g)
		return err_set(WEFT_ENOMEM);
	g->next = g->last = request;
	err = weft_map_insert(r->groups, weft_map_int(key), weft_map_word(g));
	if (err)
		mem_free(g);
	return err;
}

static weft_err learn_request(weft_replay *r, uint32_t n, const weft_jsonrpc *rpc)
{
	struct replay_entry *e = &r->entries[n];
	uint64_t key = 0;
	weft_err err = replay_key(&r->seed, rpc->method, rpc->params, &e->key);

	if (!err)
		err = replay_method_key(&r->seed, rpc->method, &e->method_key);
	if (!err)
		err = json_key(r, SALT_REQUEST, e->session, rpc->id, &key);
	if (!err)
		err = weft_map_set(r->names, weft_map_int(key), n);
	if (!err && rpc->meta_progress_token.text) {
		err = json_key(r, SALT_TOKEN, e->session, rpc->meta_progress_token, &key);
		if (!err)
			err = weft_map_set(r->names, weft_map_int(key), n);
	}
	if (!err) {
		e->owner = r->sessions[e->session].open;
		r->sessions[e->session].open = n;
	}
	return err;
}

static weft_err learn_answer(weft_replay *r, uint32_t n, weft_json id)
{
	struct replay_entry *e = &r->entries[n];
	struct replay_session *s = &r->sessions[e->session];
	uint64_t key = 0, found;
	weft_err err =
		json_key(r, e->is_to_server ? SALT_QUESTION : SALT_REQUEST, e->session, id, &key);

	if (err || !weft_map_remove(r->names, weft_map_int(key), &found))
		return err;
	e->partner = (uint32_t)found;
	r->entries[found].partner = n;
	if (e->is_to_server)
		return WEFT_OK;
	while (s->open != REPLAY_NONE && r->entries[s->open].partner != REPLAY_NONE)
		s->open = r->entries[s->open].owner;
	err = group_add(r, r->entries[found].key, (uint32_t)found);
	return err ? err : group_add(r, r->entries[found].method_key, (uint32_t)found);
}

/* Notifications of the server's, and what it asks. */
static weft_err learn_aside(weft_replay *r, uint32_t n, const weft_jsonrpc *rpc)
{
	struct replay_entry *e = &r->entries[n];
	uint64_t key = 0, found;
	weft_err err = WEFT_OK;

	e->owner = r->sessions[e->session].open;
	if (rpc->kind == WEFT_JSONRPC_REQUEST) {
		err = replay_method_key(&r->seed, rpc->method, &e->method_key);
		if (!err)
			err = json_key(r, SALT_QUESTION, e->session, rpc->id, &key);
		return err ? err : weft_map_set(r->names, weft_map_int(key), n);
	}
	if (!rpc->progress_token.text)
		return WEFT_OK;
	err = json_key(r, SALT_TOKEN, e->session, rpc->progress_token, &key);
	if (!err && weft_map_get(r->names, weft_map_int(key), &found))
		e->owner = (uint32_t)found;
	return err;
}

static weft_err learn(weft_replay *r, uint32_t n, const weft_jsonrpc *rpc)
{
	if (rpc->kind == WEFT_JSONRPC_RESPONSE || rpc->kind == WEFT_JSONRPC_ERROR)
		return learn_answer(r, n, rpc->id);
	if (!r->entries[n].is_to_server)
		return learn_aside(r, n, rpc);
	return rpc->kind == WEFT_JSONRPC_REQUEST ? learn_request(r, n, rpc) : WEFT_OK;
}

/* ---- the pass ---- */

static weft_err fault(const struct scan *scan, size_t line, const char *why, weft_err code)
{
	return err_setf(code, "%s: line %zu: %s", scan->replay->file, line, why);
}

/* A line that is no recording's: that can only be one that is torn, which the next one says. */
static weft_err bad_line(struct scan *scan)
{
	if (scan->was_bad)
		return fault(scan, scan->bad, scan->why, WEFT_EINVAL);
	scan->was_bad = true;
	scan->bad = scan->reader.number;
	(void)snprintf(scan->why, sizeof(scan->why), "%s", weft_error_detail());
	return WEFT_OK;
}

static weft_err good_line(
	struct scan *scan, const struct replay_line *line, size_t len, uint64_t offset)
{
	weft_replay *r = scan->replay;
	uint32_t n = 0;
	weft_err err;

	if (scan->was_bad && line->kind != REPLAY_TORN)
		return fault(scan, scan->bad, scan->why, WEFT_EINVAL);
	r->info.torn += scan->was_bad;
	scan->was_bad = false;
	if (line->kind == REPLAY_LOST)
		r->info.lost += line->lost;
	if (line->kind == REPLAY_LOST || line->kind == REPLAY_TORN || !is_wanted(r, line))
		return WEFT_OK;
	if (line->kind == REPLAY_INVALID) {
		r->info.invalid++;
		return WEFT_OK;
	}
	err = entry_add(scan, line, len, offset, &n);
	if (!err)
		err = learn(r, n, &line->rpc);
	if (!err)
		return WEFT_OK;
	return err_wrap(err, "%s: line %zu", r->file, scan->reader.number);
}

static bool is_blank(const char *text, size_t len)
{
	size_t blanks = 0;

	while (blanks < len &&
		(text[blanks] == ' ' || text[blanks] == '\t' || text[blanks] == '\r'))
		blanks++;
	return blanks == len;
}

static weft_err scan_line(struct scan *scan, bool *is_over)
{
	uint64_t offset = scan->reader.offset;
	weft_replay *r = scan->replay;
	struct replay_line line;
	const char *text;
	bool is_whole;
	size_t len;
	weft_err err = replay_reader_next(&scan->reader, &text, &len, &is_whole);

	if (err == WEFT_ENOTFOUND) {
		*is_over = true;
		return scan->was_bad ? fault(scan, scan->bad, scan->why, WEFT_EINVAL) : WEFT_OK;
	}
	if (err == WEFT_EMSGSIZE)
		return err_setf(WEFT_EINVAL,
			"%s: line %zu: its message is larger than %zu bytes (--max-message-size)",
			r->file, scan->reader.number, r->options.message_size_max);
	if (err)
		return err_wrap(err == WEFT_ENOMEM ? err : WEFT_EINVAL, "%s: line %zu", r->file,
			scan->reader.number);
	if (is_blank(text, len))
		return WEFT_OK;
	err = replay_line_parse(&line, text, len);
	if (err == WEFT_EPROTO && !is_whole && !scan->was_bad) {
		r->info.torn++;
		r->info.torn_last = scan->reader.number;
		return WEFT_OK;
	}
	return err == WEFT_EPROTO ? bad_line(scan)
		: err		  ? err
				  : good_line(scan, &line, len, offset);
}

static weft_err scan_all(weft_replay *r)
{
	size_t message = r->options.message_size_max, line = message + LINE_MORE;
	struct scan scan = { .replay = r,
		.reader = { .fd = r->fd,
			.line_max = line > INVALID_LINE_MAX ? line : INVALID_LINE_MAX } };
	bool is_over = false;
	weft_err err = WEFT_OK;

	while (!err && !is_over)
		err = scan_line(&scan, &is_over);
	mem_free(scan.reader.buffer);
	return err;
}

/* ---- life ---- */

static weft_err session_check(const char *session)
{
	const char *slash = strchr(session, '/'), *number = slash ? slash + 1 : session;

	if ((slash && slash - session != RECORD_RUN_LEN) || !*number ||
		number[strspn(number, "0123456789")])
		return err_setf(WEFT_EINVAL,
			"session (--session): \"%.64s\" is neither a number nor RUN/NUMBER",
			session);
	return WEFT_OK;
}

static weft_err options_check(weft_replay_options *o)
{
	if (!o->file || !o->file[0])
		return err_setf(WEFT_EINVAL, "replay: FILE is missing");
	if (!(o->speed >= 0) || o->speed > SPEED_MAX)
		return err_setf(WEFT_EINVAL, "speed (--speed): not from 0 to %g", SPEED_MAX);
	if (o->connect_timeout_ns < 0 || o->read_timeout_ns < 0)
		return err_setf(WEFT_EINVAL, "replay: a time-out is negative");
	if (o->message_size_max > WEFT_BUF_SIZE_MAX / 2)
		return err_setf(WEFT_EINVAL, "message_size_max (--max-message-size): above %zu",
			WEFT_BUF_SIZE_MAX / 2);
	if (!o->message_size_max)
		o->message_size_max = MESSAGE_SIZE_DEFAULT;
	if (!o->connect_timeout_ns)
		o->connect_timeout_ns = 10 * SECOND_NS;
	if (!o->read_timeout_ns)
		o->read_timeout_ns = 30 * SECOND_NS;
	if (!o->sessions_max)
		o->sessions_max = SESSIONS_AT_ONCE;
	return o->session ? session_check(o->session) : WEFT_OK;
}

static weft_err file_open(weft_replay *r)
{
	struct stat st;

	r->fd = open(r->file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (r->fd < 0)
		return err_setf(WEFT_EINVAL, "%s: %s", r->file, strerror(errno));
	if (fstat(r->fd, &st))
		return err_setf(WEFT_EINVAL, "%s: %s", r->file, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_setf(WEFT_EINVAL, "%s: not a file", r->file);
	return WEFT_OK;
}

static weft_err strings_copy(weft_replay *r, const weft_replay_options *o)
{
	r->file = mem_strdup(o->file);
	r->session = o->session ? mem_strdup(o->session) : NULL;
	r->server = o->server ? mem_strdup(o->server) : NULL;
	return r->file && (r->session || !o->session) && (r->server || !o->server)
		? WEFT_OK
		: err_set(WEFT_ENOMEM);
}

static void group_free(uint64_t value)
{
	mem_free(weft_map_pointer(value));
}

static weft_err maps_create(weft_replay *r)
{
	weft_map_options options = WEFT_MAP_OPTIONS_DEFAULT;
	weft_err err = weft_map_create(&r->names, &options);

	options.value_unref = group_free;
	return err ? err : weft_map_create(&r->groups, &options);
}

/* One number of several runs is not one session. */
static weft_err found_check(const weft_replay *r)
{
	const struct replay_session *s = r->sessions;

	if (r->session && r->sessions_count == 0)
		return err_setf(WEFT_EINVAL, "%s: there is no session %s", r->file, r->session);
	if (r->session && r->sessions_count > 1)
		return err_setf(WEFT_EINVAL, "%s: %zu runs have a session %s: say %s/%s or %s/%s",
			r->file, r->sessions_count, r->session, s[0].run, r->session, s[1].run,
			r->session);
	if (r->count == 0)
		return err_setf(WEFT_EINVAL, "%s: there is no message%s%s", r->file,
			r->server ? " of server " : "", r->server ? r->server : "");
	return WEFT_OK;
}

weft_err weft_replay_open(weft_replay **out, const weft_replay_options *options)
{
	weft_replay_options checked = *options;
	weft_err err = options_check(&checked);
	weft_replay *r;

	if (err)
		return err;
	r = mem_calloc(1, sizeof(*r));
	if (!r)
		return err_set(WEFT_ENOMEM);
	r->options = checked;
	r->fd = -1;
	hash_seed_process(&r->seed);
	err = strings_copy(r, options);
	if (!err)
		err = file_open(r);
	if (!err)
		err = maps_create(r);
	if (!err)
		err = scan_all(r);
	if (!err)
		err = found_check(r);
	weft_map_free(r->names);
	r->names = NULL;
	r->info.sessions = r->sessions_count;
	r->info.messages = r->count;
	if (err)
		weft_replay_free(r);
	else
		*out = r;
	return err;
}

void weft_replay_free(weft_replay *replay)
{
	if (!replay)
		return;
	if (replay->fd >= 0)
		(void)close(replay->fd);
	weft_map_free(replay->names);
	weft_map_free(replay->groups);
	mem_free(replay->entries);
	mem_free(replay->sessions);
	mem_free(replay->file);
	mem_free(replay->session);
	mem_free(replay->server);
	mem_free(replay);
}

void weft_replay_info_get(const weft_replay *replay, weft_replay_info *out)
{
	*out = replay->info;
}

void weft_replay_stats_get(const weft_replay *replay, weft_replay_stats *out)
{
	*out = (weft_replay_stats){
		.sessions = counter_get(&replay->stats.sessions),
		.requests = counter_get(&replay->stats.requests),
		.notifications = counter_get(&replay->stats.notifications),
		.same = counter_get(&replay->stats.same),
		.different = counter_get(&replay->stats.different),
		.missing = counter_get(&replay->stats.missing),
		.unasked = counter_get(&replay->stats.unasked),
	};
}

/* ---- what playing needs ---- */

/* The pool's thread may be at it when nobody waits any more. */
struct read_job {
	int fd;
	uint64_t offset;
	weft_buf buf;
};

static weft_err read_fn(void *arg)
{
	struct read_job *job = arg;
	size_t done = 0;

	while (done < job->buf.len) {
		ssize_t got = pread(job->fd, job->buf.data + done, job->buf.len - done,
			(off_t)(job->offset + done));

		if (got > 0)
			done += (size_t)got;
		else if (got == 0)
			return err_setf(WEFT_EIO, "the file has become shorter");
		else if (errno != EINTR)
			return err_sys(errno, "read");
	}
	return WEFT_OK;
}

weft_err replay_text_read(
	const weft_replay *replay, const struct replay_entry *entry, struct replay_text *out)
{
	struct read_job job = { replay->fd, entry->offset, WEFT_BUF_EMPTY };
	weft_err err = weft_buf_alloc(&job.buf, NULL, entry->len);

	if (err)
		return err;
	job.buf.len = entry->len;
	/* without cancellation, so that job outlives it: a file answers */
	weft_shield_begin();
	err = weft_offload(read_fn, &job, NULL, WEFT_FOREVER);
	weft_shield_end();
	if (!err)
		err = replay_line_parse(&out->line, (const char *)job.buf.data, job.buf.len);
	if (!err && out->line.kind != REPLAY_MESSAGE)
		err = err_setf(WEFT_EPROTO, "the file was changed");
	if (err) {
		weft_buf_unref(&job.buf);
		return err_wrap(err, "%s: line %u", replay->file, entry->line);
	}
	out->buf = job.buf;
	return WEFT_OK;
}

void replay_text_fini(struct replay_text *text)
{
	weft_buf_unref(&text->buf);
}

int64_t replay_scaled(const weft_replay *replay, int64_t ns)
{
	double scaled = replay->options.speed > 0 ? (double)ns / replay->options.speed : 0;

	return scaled <= 0 ? 0 : scaled > 4e18 ? INT64_C(4000000000000000000) : (int64_t)scaled;
}

char *replay_string(weft_json string)
{
	char *text = mem_alloc(string.len + 1);
	size_t len = 0;

	if (!text)
		return NULL;
	if (weft_json_string_decode(string, text, string.len, &len))
		len = 0;
	text[len] = '\0';
	return text;
}

void replay_differs(weft_replay *replay, const struct replay_entry *entry, const char *method,
	const char *format, ...)
{
	const struct replay_session *s = entry ? &replay->sessions[entry->session] : NULL;
	weft_replay_difference d = { .run = s ? s->run : "",
		.session = s ? s->number : 0,
		.line = entry ? entry->line : 0,
		.method = method };
	char text[3 * REPLAY_TEXT_MAX];
	va_list args;

	if (!replay->options.on_difference)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	d.text = text;
	replay->options.on_difference(replay->options.user, &d);
}
