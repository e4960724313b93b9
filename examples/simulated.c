/* SPDX-License-Identifier: MIT */
/*
 * A client and a server on two virtual nodes, a net that breaks, and a seed that repeats it
 * all: simulated [SEED]
 */
#include <weft/weft.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static weft_err serve(weft_conn *conn, void *arg)
{
	weft_err err = weft_conn_copy(conn, conn, NULL, NULL, NULL, WEFT_FOREVER);

	(void)arg;
	weft_conn_free(conn);
	return err;
}

static weft_err server(void *arg)
{
	weft_listener *listener = NULL;
	weft_scope *scope = NULL;
	weft_err err = weft_scope_create(&scope);

	(void)arg;
	if (!err)
		err = weft_listen(&listener, "tcp://0.0.0.0:7", NULL, WEFT_FOREVER);
	if (!err)
		err = weft_listener_serve(listener, scope, "echo", serve, NULL);
	weft_scope_free(scope);
	weft_listener_free(listener);
	return err;
}

/* One line there and back; tries again when the net fails it. */
static weft_err ask(unsigned *attempts)
{
	weft_conn *conn = NULL;
	char answer[6] = "";
	weft_err err;

	++*attempts;
	err = weft_dial(&conn, "tcp://server:7", NULL, weft_after_ms(1000));
	if (!err)
		err = weft_conn_write(conn, "hello", 5, NULL, weft_after_ms(1000));
	if (!err)
		err = weft_conn_read_full(conn, answer, 5, NULL, weft_after_ms(1000));
	weft_conn_free(conn);
	if (!err && strcmp(answer, "hello") != 0)
		return WEFT_EPROTO;
	return err;
}

static weft_err start(void *arg)
{
	unsigned node, attempts = 0;
	weft_err err = weft_sim_node(&node, "server");

	(void)arg;
	if (!err)
		err = weft_sim_spawn(node, NULL, "server", server, NULL);
	for (int asked = 0; asked < 10 && !err; asked++) {
		while ((err = ask(&attempts)) && err != WEFT_EPROTO && attempts < 1000)
			err = weft_sleep_ms(100);
	}
	printf("10 answers in %u attempts, %s\n", attempts, weft_strerror(err));
	return err;
}

int main(int argc, char **argv)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	weft_sim_result result = { 0 };
	weft_err err;

	options.seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	options.reset_permille = 300;
	options.refuse_permille = 200;
	options.partial_permille = 500;
	err = weft_sim_run(start, NULL, &options, &result);
	printf("seed %llu: hash %016llx, %llu steps, %.3f virtual seconds\n",
		(unsigned long long)options.seed, (unsigned long long)result.hash,
		(unsigned long long)result.steps, (double)result.virtual_ns / 1e9);
	if (err)
		fprintf(stderr, "simulated: %s\n", weft_error_detail());
	return err ? 1 : 0;
}
