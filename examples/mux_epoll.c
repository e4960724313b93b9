/* SPDX-License-Identifier: MIT */
/*
 * A loop of its own: plain epoll, one thread, no fiber, and many streams behind one descriptor.
 * The loop asks three questions, each on a stream, and answers them at the other end of the session.
 *
 * No call of it waits, all have the deadline WEFT_NOW. One that would have to wait says
 * WEFT_ETIMEDOUT, and the poller tells when it need not any more.
 */
#include <weft/weft.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define QUESTIONS 3
#define EVENTS 16
#define SILENCE_MS 5000

/* One stream, at either end: says what is in text, then hears, or the other way round. */
struct talk {
	weft_stream *stream;
	bool asks, hears; /* at this end; now */
	char text[64];
	size_t len, said;
};

struct loop {
	int epoll;
	weft_mux_poller *poller;
	weft_mux *client, *server;
	struct talk asked[QUESTIONS];
	unsigned answered;
};

/* WEFT_OK: all of it was said. */
static weft_err say(struct talk *t)
{
	weft_err err = WEFT_OK;
	size_t n;

	if (t->said < t->len) {
		err = weft_stream_write(
			t->stream, t->text + t->said, t->len - t->said, &n, WEFT_NOW);
		t->said += n;
	}
	return err ? err : weft_stream_shutdown(t->stream);
}

/* WEFT_OK: all of it was heard, to the peer's end. */
static weft_err hear(struct talk *t)
{
	while (t->len < sizeof(t->text)) {
		size_t n;
		weft_err err = weft_stream_read(
			t->stream, t->text + t->len, sizeof(t->text) - t->len, &n, WEFT_NOW);

		if (err)
			return err == WEFT_ECLOSED ? WEFT_OK : err;
		t->len += n;
	}
	return WEFT_EMSGSIZE;
}

/* WEFT_ETIMEDOUT: there is more to come. */
static weft_err ask(struct loop *l, struct talk *t)
{
	weft_err err = t->hears ? WEFT_OK : say(t);

	if (err)
		return err;
	if (!t->hears)
		t->len = 0;
	t->hears = true;
	err = hear(t);
	if (!err)
		l->answered++;
	return err;
}

static weft_err answer(struct talk *t)
{
	weft_err err = t->hears ? hear(t) : WEFT_OK;

	if (err)
		return err;
	if (t->hears)
		t->len += (size_t)snprintf(t->text + t->len, sizeof(t->text) - t->len, "? Yes.");
	t->hears = false;
	return say(t);
}

/* Whatever became possible for it. */
static void go_on(struct loop *l, struct talk *t)
{
	weft_err err = t->asks ? ask(l, t) : answer(t);

	if (err == WEFT_ETIMEDOUT)
		return;
	if (err)
		fprintf(stderr, "mux_epoll: %s\n", weft_error_detail());
	weft_stream_free(t->stream); /* and out of the poller */
	t->stream = NULL;
	if (!t->asks)
		free(t);
}

static void accept_all(struct loop *l)
{
	weft_stream *stream;

	while (!weft_mux_accept(l->server, &stream, WEFT_NOW)) {
		struct talk *t = calloc(1, sizeof(*t));

		if (!t || weft_mux_poller_add_stream(l->poller, stream, t)) {
			weft_stream_free(stream);
			free(t);
			continue;
		}
		t->stream = stream;
		t->hears = true;
	}
}

static weft_err ask_all(struct loop *l)
{
	for (int i = 0; i < QUESTIONS; i++) {
		struct talk *t = &l->asked[i];
		weft_err err = weft_mux_open(l->client, &t->stream, WEFT_NOW);

		if (!err)
			err = weft_mux_poller_add_stream(l->poller, t->stream, t);
		if (err)
			return err;
		t->asks = true;
		t->len = (size_t)snprintf(t->text, sizeof(t->text), "stream %d", i + 1);
		go_on(l, t); /* an event comes once a call has failed: so it begins with one */
	}
	return WEFT_OK;
}

/* Until all is answered. There may be any other descriptor in the epoll set. */
static weft_err run(struct loop *l)
{
	while (l->answered < QUESTIONS) {
		struct epoll_event ready;
		weft_mux_event events[EVENTS];
		int n = epoll_wait(l->epoll, &ready, 1, SILENCE_MS);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return WEFT_ETIMEDOUT;
		/* what is left makes the descriptor readable again */
		n = (int)weft_mux_poller_take(l->poller, events, EVENTS);
		for (int i = 0; i < n; i++) {
			if (events[i].user == l->server)
				accept_all(l);
			else
				go_on(l, events[i].user);
		}
	}
	return WEFT_OK;
}

static weft_err loop_main(struct loop *l)
{
	weft_mux_options options = WEFT_MUX_OPTIONS_DEFAULT;
	struct epoll_event wanted = { .events = EPOLLIN };
	weft_conn *ends[2];
	weft_err err;

	options.version = 2;
	err = weft_conn_pair(ends, 0);
	if (err)
		return err;
	err = weft_mux_create_own(&l->client, ends[0], WEFT_MUX_CLIENT, &options);
	if (err) {
		weft_conn_free(ends[1]);
		return err;
	}
	err = weft_mux_create_own(&l->server, ends[1], WEFT_MUX_SERVER, &options);
	if (!err)
		err = weft_mux_poller_create(&l->poller);
	if (!err)
		err = weft_mux_poller_add(l->poller, l->server, l->server);
	if (err)
		return err;
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, weft_mux_poller_fd(l->poller), &wanted) != 0)
		return WEFT_EIO;
	err = ask_all(l);
	return err ? err : run(l);
}

int main(void)
{
	struct loop l = { .epoll = epoll_create1(EPOLL_CLOEXEC) };
	weft_err err, stopped;

	if (l.epoll < 0)
		return 1;
	err = weft_start(NULL); /* weft's workers, in threads beside this one */
	if (err) {
		fprintf(stderr, "mux_epoll: %s\n", weft_error_detail());
		return 1;
	}
	err = loop_main(&l);
	for (int i = 0; i < QUESTIONS; i++) {
		weft_stream_free(l.asked[i].stream);
		if (!err)
			printf("%.*s\n", (int)l.asked[i].len, l.asked[i].text);
	}
	weft_mux_free(l.client);
	weft_mux_free(l.server);
	weft_mux_poller_free(l.poller);
	close(l.epoll);
	if (err)
		fprintf(stderr, "mux_epoll: %s\n", weft_strerror(err));
	stopped = weft_stop();
	if (stopped)
		fprintf(stderr, "mux_epoll: %s\n", weft_error_detail());
	return err || stopped ? 1 : 0;
}
