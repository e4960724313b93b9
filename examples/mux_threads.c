/* SPDX-License-Identifier: MIT */
/*
 * Plain threads and no fiber: three threads answer, whichever has the next stream, and one asks.
 * Every call waits, with a deadline, as in a program of threads and sockets; the streams share
 * one connection.
 */
#include <weft/weft.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ANSWERERS 3
#define ANSWER_MS 5000
#define PATIENCE_MS 100
#define LONG_MS 1500

/* One question, up to the peer's end. */
static weft_err answer(weft_stream *stream)
{
	char text[64] = "";
	size_t len = 0, n = 0;
	weft_err err;

	do {
		len += n;
		err = weft_stream_read(
			stream, text + len, sizeof(text) - 8 - len, &n, weft_after_ms(ANSWER_MS));
	} while (!err && n > 0);
	if (err != WEFT_ECLOSED)
		return err ? err : WEFT_EMSGSIZE;
	if (strcmp(text, "why") == 0 && weft_sleep_ms(LONG_MS))
		return WEFT_ECANCELED;
	strcat(text, "? Yes.");
	return weft_stream_write(stream, text, strlen(text), NULL, weft_after_ms(ANSWER_MS));
}

/* Any number of threads may accept of one session. */
static void *answerer_thread(void *arg)
{
	weft_mux *server = arg;
	weft_stream *stream;

	while (!weft_mux_accept(server, &stream, WEFT_FOREVER)) {
		weft_err err = answer(stream);

		if (err && weft_mux_is_alive(server))
			fprintf(stderr, "mux_threads: answer: %s\n", weft_error_detail());
		weft_stream_free(stream);
	}
	return NULL;
}

static void ask(weft_mux *client, const char *question, int64_t patience_ms)
{
	weft_stream *stream = NULL;
	char text[64];
	size_t n = 0;
	weft_err err = weft_mux_open(client, &stream, weft_after_ms(patience_ms));

	if (!err)
		err = weft_stream_write(
			stream, question, strlen(question), NULL, weft_after_ms(patience_ms));
	if (!err)
		err = weft_stream_shutdown(stream);
	if (!err)
		err = weft_stream_read(stream, text, sizeof(text), &n, weft_after_ms(patience_ms));
	if (err)
		printf("%s: %s\n", question, weft_strerror(err));
	else
		printf("%.*s\n", (int)n, text);
	weft_stream_free(stream);
}

static weft_err talk(void)
{
	weft_mux_options options = WEFT_MUX_OPTIONS_DEFAULT;
	weft_mux *client = NULL, *server = NULL;
	pthread_t threads[ANSWERERS];
	unsigned started = 0;
	weft_conn *ends[2];
	weft_err err;

	options.version = 2;
	err = weft_conn_pair(ends, 0);
	if (err)
		return err;
	err = weft_mux_create_own(&client, ends[0], WEFT_MUX_CLIENT, &options);
	if (err) {
		weft_conn_free(ends[1]);
		return err;
	}
	err = weft_mux_create_own(&server, ends[1], WEFT_MUX_SERVER, &options);
	while (!err && started < ANSWERERS) {
		if (pthread_create(&threads[started], NULL, answerer_thread, server) != 0)
			err = WEFT_ECAPACITY;
		else
			started++;
	}
	if (!err) {
		ask(client, "one", ANSWER_MS);
		ask(client, "why", PATIENCE_MS);
		ask(client, "two", ANSWER_MS);
		/* no more questions; waits for those that are still being answered */
		err = weft_mux_drain(server, weft_after_ms(ANSWER_MS));
	}
	weft_mux_free(client);
	if (server)
		weft_mux_close(server); /* who accepts is told */
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	weft_mux_free(server);
	return err;
}

int main(void)
{
	weft_err err = weft_start(NULL), stopped;

	if (err) {
		fprintf(stderr, "mux_threads: %s\n", weft_error_detail());
		return 1;
	}
	err = talk();
	if (err)
		fprintf(stderr, "mux_threads: %s\n", weft_strerror(err));
	stopped = weft_stop();
	if (stopped)
		fprintf(stderr, "mux_threads: %s\n", weft_error_detail());
	return err || stopped ? 1 : 0;
}
