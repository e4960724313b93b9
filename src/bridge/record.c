/* SPDX-License-Identifier: MIT */
/* See record.h. */
#define _POSIX_C_SOURCE 200809L
#include "bridge/record.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/random.h"
#include "bridge/record_file.h"
#include "bridge/record_line.h"
#include "rt/lock.h"
#include "sync/pushlist.h"
#include "sync/word.h"

#include <weft/mutex.h>
#include <weft/scope.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define EAGER_BYTES ((size_t)1 << 20)		 /* then what gathers is written at once */
#define SLOW_TELL_NS (INT64_C(10) * 1000000000)	 /* between two lines of the log about loss */
#define REOPEN_WAIT_NS (INT64_C(5) * 1000000000) /* for a disk that does not answer */

/* A line, or that so many were lost and a line, in front of its text in a block of its own. */
struct line {
	struct push_node node;
	weft_buf buf; /* holds this */
	uint64_t lost;
	size_t len;  /* of text */
	size_t size; /* of all of it, in memory */
	char text[];
};

/* In the pool's thread. */
struct write_job {
	struct record_file *file;
	struct iovec iov[RECORD_BATCH];
	int count, done;
	int errnum; /* what ended it early; 0: nothing */
};

struct recorder {
	char *path; /* owned */
	char run[RECORD_RUN_LEN + 1];
	size_t pending_max;
	struct recorder_options options; /* its path is not to be used */
	weft_scope *scope;
	struct pushlist lines; /* of struct line.node */
	struct bell bell;      /* the writer's */
	struct word closing;
	struct counter pending, lines_all, bytes_all, lost_all;

	struct rt_lock lock;
	uint64_t lost;	      /* not yet said; under lock */
	struct word has_lost; /* it is not 0: changed under lock */

	weft_mutex *file_lock; /* held across writes */
	struct record_file file;

	/* the writer's */
	struct push_node *batch; /* taken, oldest first */
	struct write_job job;	 /* under file_lock */
	bool is_paused;		 /* the last write failed */
	uint64_t lost_told;	 /* in the log */
	weft_deadline told_at;
	char lost_text[RECORD_MARK_MAX];
};

static void tell(const struct recorder *r, weft_log_level level, weft_err err, const char *format,
	...) WEFT_PRINTF(4, 5);
static void tell(
	const struct recorder *r, weft_log_level level, weft_err err, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	weft_bridge_event event = { .level = level, .peer = "", .err = err, .text = text };
	va_list args;

	if (!r->options.on_event)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	r->options.on_event(r->options.user, &event);
}

static int64_t time_now(void)
{
	struct timespec now = { 0, 0 };

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- what is lost ---- */

/* again: it was counted as lost before. */
static void lose(struct recorder *r, uint64_t count, bool again)
{
	rt_lock_acquire(&r->lock);
	r->lost += count;
	word_put(&r->has_lost, 1);
	rt_lock_release(&r->lock);
	if (!again)
		(void)counter_add(&r->lost_all, count);
}

static uint64_t lost_take(struct recorder *r)
{
	uint64_t lost;

	if (!word_peek(&r->has_lost))
		return 0;
	rt_lock_acquire(&r->lock);
	lost = r->lost;
	r->lost = 0;
	word_put(&r->has_lost, 0);
	rt_lock_release(&r->lock);
	return lost;
}

/* ---- lines come ---- */

/* NULL: out of memory. */
static struct line *line_make(struct recorder *r, const struct relay_message *message)
{
	uint64_t lost = lost_take(r);
	size_t size =
		sizeof(struct line) + (lost ? RECORD_MARK_MAX : 0) + record_line_size(message);
	int64_t now = time_now();
	struct line *line;
	weft_buf buf;

	if (size > WEFT_BUF_SIZE_MAX || weft_buf_alloc(&buf, r->options.pool, size)) {
		if (lost)
			lose(r, lost, true);
		return NULL;
	}
	line = (struct line *)(void *)buf.data;
	line->buf = buf;
	line->size = weft_buf_room(&buf);
	line->lost = lost;
	line->len = lost ? record_lost_write(line->text, r->run, now, lost) : 0;
	line->len += record_line_write(line->text + line->len, r->run, now, message);
	return line;
}

static void line_free(struct line *line)
{
	weft_buf buf = line->buf;

	weft_buf_unref(&buf);
}

void recorder_message(struct recorder *recorder, const struct relay_message *message)
{
	struct line *line = NULL;

	/* before the copy: what is over the bound is to cost nothing */
	if (counter_get(&recorder->pending) < recorder->pending_max)
		line = line_make(recorder, message);
	if (line && !counter_try_add(&recorder->pending, line->size, recorder->pending_max)) {
		if (line->lost)
			lose(recorder, line->lost, true);
		line_free(line);
		line = NULL;
	}
	if (!line)
		lose(recorder, 1, false);
	else if (pushlist_push(&recorder->lines, &line->node) == PUSH_FIRST)
		bell_ring(&recorder->bell);
}

/* ---- lines go ---- */

static weft_err write_fn(void *arg)
{
	struct write_job *job = arg;

	job->errnum = record_file_write(job->file, job->iov, job->count, &job->done);
	return WEFT_OK;
}

/* The job, in the pool. Returns an errno. */
static int job_run(struct recorder *r)
{
	struct write_job *job = &r->job;
	weft_err err = weft_mutex_lock(r->file_lock, WEFT_FOREVER);
	bool is_seen = r->file.is_seen;

	job->done = 0;
	job->errnum = 0;
	job->file = &r->file;
	if (!err) {
		r->file.is_seen = false;
		err = weft_offload(write_fn, job, NULL, WEFT_FOREVER);
		weft_mutex_unlock(r->file_lock);
	}
	/* not when it was opened: then the first line that is said is another */
	if (is_seen)
		tell(r, WEFT_LOG_WARN, WEFT_OK,
			"recording to %s: others than its owner may read it", r->path);
	return err ? ENOMEM : job->errnum;
}

static void gather(struct write_job *job, struct push_node *first)
{
	job->count = 0;
	for (struct push_node *n = first; n && job->count < RECORD_BATCH; n = n->next) {
		struct line *line = (struct line *)(void *)n;

		job->iov[job->count++] = (struct iovec){ line->text, line->len };
	}
}

static struct line *batch_pop(struct recorder *r)
{
	struct line *line = (struct line *)(void *)r->batch;

	r->batch = line->node.next;
	(void)counter_sub(&r->pending, line->size);
	return line;
}

static void written(struct recorder *r, int count)
{
	for (int i = 0; i < count; i++) {
		struct line *line = batch_pop(r);

		counter_own_add(&r->lines_all, 1);
		counter_own_add(&r->bytes_all, line->len);
		line_free(line);
	}
}

static void tell_paused(struct recorder *r, int errnum)
{
	if (!r->is_paused)
		tell(r, WEFT_LOG_ERROR, WEFT_EIO,
			"recording to %s pauses: %s; it is tried again every second", r->path,
			strerror(errnum));
	r->is_paused = true;
}

/* Once a write has succeeded. */
static void tell_going(struct recorder *r)
{
	uint64_t lost = counter_get(&r->lost_all);

	if (!r->is_paused && (lost == r->lost_told || weft_now() < r->told_at))
		return;
	if (r->is_paused)
		tell(r, WEFT_LOG_WARN, WEFT_OK,
			"recording to %s goes on: %llu messages were left out", r->path,
			(unsigned long long)(lost - r->lost_told));
	else
		tell(r, WEFT_LOG_WARN, WEFT_ECAPACITY,
			"recording to %s: %llu messages were left out: the disk, or memory, does not keep up",
			r->path, (unsigned long long)(lost - r->lost_told));
	r->is_paused = false;
	r->lost_told = lost;
	r->told_at = weft_after_ns(SLOW_TELL_NS);
}

/* False: the disk does not take it now. */
static bool batch_write(struct recorder *r)
{
	int errnum;

	while (r->batch) {
		gather(&r->job, r->batch);
		errnum = job_run(r);
		written(r, r->job.done);
		if (errnum) {
			tell_paused(r, errnum);
			return false;
		}
		tell_going(r);
	}
	return true;
}

/* Of what was lost last no line tells yet. False: as above. */
static bool lost_write(struct recorder *r)
{
	uint64_t lost = lost_take(r);
	int errnum;

	if (lost == 0)
		return true;
	r->job.iov[0].iov_base = r->lost_text;
	r->job.iov[0].iov_len = record_lost_write(r->lost_text, r->run, time_now(), lost);
	r->job.count = 1;
	errnum = job_run(r);
	if (r->job.done == 0) {
		lose(r, lost, true);
		tell_paused(r, errnum);
		return false;
	}
	counter_own_add(&r->bytes_all, r->job.iov[0].iov_len);
	tell_going(r);
	return true;
}

/* Unless, or until, it is to end. */
static void rest(struct recorder *r, int64_t ns)
{
	weft_deadline until = weft_after_ns(ns);

	while (!word_get(&r->closing) && weft_now() < until)
		(void)!weft_park(until);
}

static bool write_all(struct recorder *r)
{
	if (!batch_write(r))
		return false;
	r->batch = pushlist_take(&r->lines);
	return batch_write(r) && lost_write(r);
}

/* What a disk that is full did not take. */
static void give_up(struct recorder *r)
{
	uint64_t lost = 0;

	do {
		for (; r->batch; lost++)
			line_free(batch_pop(r));
		r->batch = pushlist_take(&r->lines);
	} while (r->batch);
	(void)counter_add(&r->lost_all, lost);
	tell(r, WEFT_LOG_ERROR, WEFT_EIO, "recording to %s ends: %llu messages were left out",
		r->path, (unsigned long long)(counter_get(&r->lost_all) - r->lost_told));
}

static weft_err writer(void *arg)
{
	struct recorder *r = arg;
	bool is_well = true;

	weft_shield_begin(); /* its end is closing, after which nobody records */
	bell_set(&r->bell, weft_parker_self());
	for (;;) {
		if (is_well && pushlist_is_empty(&r->lines) && !word_get(&r->has_lost)) {
			if (word_get(&r->closing))
				break;
			(void)!weft_park(WEFT_FOREVER);
			continue;
		}
		if (!is_well)
			rest(r, RECORD_RETRY_NS);
		else if (counter_get(&r->pending) < EAGER_BYTES)
			rest(r, RECORD_GATHER_NS);
		is_well = write_all(r);
		if (!is_well && word_get(&r->closing)) {
			give_up(r);
			break;
		}
	}
	r->told_at = 0;
	if (is_well)
		tell_going(r);
	weft_shield_end();
	return WEFT_OK;
}

/* ---- life ---- */

weft_err recorder_check(const char *path)
{
	struct stat st;

	if (!path[0])
		return err_setf(WEFT_EINVAL, "record (--record): the name of the file is empty");
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return err_setf(WEFT_EINVAL, "record (--record): %.256s is %s, not a file", path,
			S_ISDIR(st.st_mode) ? "a directory" : "a device, a FIFO or a socket");
	return WEFT_OK;
}

/* A tag that no other run has. */
static void run_make(char run[RECORD_RUN_LEN + 1])
{
	(void)snprintf(
		run, RECORD_RUN_LEN + 1, "%08llx", (unsigned long long)(random_entropy() >> 32));
}

static weft_err open_fn(void *arg)
{
	struct recorder *r = arg;
	struct record_file file;
	weft_err err;

	if (r->file.fd >= 0 && record_file_is_at(&r->file, r->path))
		return WEFT_OK;
	err = record_file_open(&file, r->path, r->run);
	if (err)
		return err;
	record_file_close(&r->file);
	r->file = file;
	return WEFT_OK;
}

/* Under file_lock, but at the beginning. */
static weft_err file_open(struct recorder *r)
{
	weft_err err;

	weft_shield_begin();
	err = weft_offload(open_fn, r, NULL, WEFT_FOREVER);
	weft_shield_end();
	return err ? err_wrap(err, "record to %s", r->path) : WEFT_OK;
}

weft_err recorder_open(struct recorder **out, const struct recorder_options *options)
{
	struct recorder *r = mem_calloc(1, sizeof(*r));
	weft_err err;

	if (!r)
		return err_set(WEFT_ENOMEM);
	r->options = *options;
	r->file.fd = -1;
	r->pending_max = options->pending_max ? options->pending_max : RECORD_PENDING_MAX;
	run_make(r->run);
	r->path = mem_strdup(options->path);
	err = r->path ? weft_mutex_create(&r->file_lock) : err_set(WEFT_ENOMEM);
	if (!err)
		err = weft_scope_create(&r->scope);
	if (!err)
		err = file_open(r);
	if (!err)
		err = weft_scope_spawn(r->scope, "recorder", writer, r);
	if (err)
		recorder_free(r);
	else
		*out = r;
	return err;
}

weft_err recorder_reopen(struct recorder *recorder)
{
	weft_err err = weft_mutex_lock(recorder->file_lock, weft_after_ns(REOPEN_WAIT_NS));

	if (err)
		return err_wrap(err, "record to %s: a write is under way", recorder->path);
	err = file_open(recorder);
	weft_mutex_unlock(recorder->file_lock);
	return err;
}

static weft_err close_fn(void *arg)
{
	record_file_close(arg);
	return WEFT_OK;
}

void recorder_free(struct recorder *recorder)
{
	if (!recorder)
		return;
	weft_shield_begin();
	(void)word_swap(&recorder->closing, 1);
	bell_ring(&recorder->bell);
	weft_scope_free(recorder->scope);
	/* the pool may be full */
	if (weft_offload(close_fn, &recorder->file, NULL, WEFT_FOREVER))
		record_file_close(&recorder->file);
	weft_shield_end();
	weft_mutex_free(recorder->file_lock);
	mem_free(recorder->path);
	mem_free(recorder);
}

void recorder_stats_get(const struct recorder *recorder, struct recorder_stats *out)
{
	*out = (struct recorder_stats){
		.lines = counter_get(&recorder->lines_all),
		.bytes = counter_get(&recorder->bytes_all),
		.lost = counter_get(&recorder->lost_all),
		.pending = (size_t)counter_get(&recorder->pending),
	};
}
