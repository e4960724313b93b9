/* SPDX-License-Identifier: MIT */
/*
 * Many streams over one connection: three questions at once, each on a stream of its own. Both
 * ends are in this program; Go programs with smux could be either.
 */
#include <weft/weft.h>

#include <stdio.h>
#include <string.h>

#define QUESTIONS 3

/* One stream at the server: owns it. */
static weft_err answer(void *arg)
{
	weft_stream *stream = arg;
	char question[32], text[64];
	size_t got;
	weft_err err;

	err = weft_stream_read(stream, question, sizeof(question) - 1, &got, weft_after_ms(5000));
	if (!err) {
		question[got] = '\0';
		snprintf(text, sizeof(text), "%s? Yes.", question);
		err = weft_stream_write(stream, text, strlen(text), NULL, weft_after_ms(5000));
	}
	weft_stream_free(stream);
	return err;
}

/* Until the session is over. */
static weft_err serve(void *arg)
{
	weft_mux *mux = arg;
	weft_stream *stream;

	while (!weft_mux_accept(mux, &stream, WEFT_FOREVER)) {
		weft_err err = weft_spawn(NULL, "answer", answer, stream);

		if (err) {
			weft_stream_free(stream);
			return err;
		}
	}
	weft_mux_free(mux);
	return WEFT_OK;
}

static weft_err ask(weft_mux *mux)
{
	weft_stream *streams[QUESTIONS] = { NULL };
	weft_err err = WEFT_OK;
	char text[64];
	size_t got;

	for (int i = 0; i < QUESTIONS && !err; i++) {
		int len = snprintf(text, sizeof(text), "stream %d", i + 1);

		err = weft_mux_open(mux, &streams[i], WEFT_FOREVER);
		if (!err)
			err = weft_stream_write(
				streams[i], text, (size_t)len, NULL, weft_after_ms(5000));
	}
	for (int i = 0; i < QUESTIONS && !err; i++) {
		err = weft_stream_read(
			streams[i], text, sizeof(text) - 1, &got, weft_after_ms(5000));
		if (!err)
			printf("%.*s\n", (int)got, text);
	}
	for (int i = 0; i < QUESTIONS; i++)
		weft_stream_free(streams[i]);
	return err;
}

static weft_err start(void *arg)
{
	weft_mux_options options = WEFT_MUX_OPTIONS_DEFAULT;
	weft_mux *client = NULL, *server = NULL;
	weft_conn *ends[2];
	weft_err err;

	(void)arg;
	options.version = 2; /* both ends must say the same */
	err = weft_conn_pair(ends, 0);
	if (err)
		return err;
	err = weft_mux_create_own(&server, ends[1], WEFT_MUX_SERVER, &options);
	if (err) {
		weft_conn_free(ends[0]);
		return err;
	}
	err = weft_spawn(NULL, "server", serve, server);
	if (!err)
		err = weft_mux_create_own(&client, ends[0], WEFT_MUX_CLIENT, &options);
	if (!err)
		err = ask(client);
	weft_mux_free(client); /* the server's accept ends with it */
	return err;
}

int main(void)
{
	weft_err err = weft_run(start, NULL, NULL);

	if (err)
		fprintf(stderr, "mux: %s\n", weft_error_detail());
	return err ? 1 : 0;
}
