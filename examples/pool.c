/* SPDX-License-Identifier: MIT */
/*
 * A pool: workers take numbers from one channel and put results into another, until the
 * deadline or until all are done, whichever comes first.
 */
#include <weft/weft.h>

#include <stdio.h>

#define WORKERS 4
#define NUMBERS 100

struct pool {
	weft_chan *work, *results;
};

static weft_err worker(void *arg)
{
	struct pool *pool = arg;
	long number, square;
	weft_err err;

	while (!(err = weft_chan_recv(pool->work, &number, WEFT_FOREVER))) {
		square = number * number;
		err = weft_chan_send(pool->results, &square, WEFT_FOREVER);
		if (err)
			return err;
	}
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

/* Gives work out and takes results in, whichever is possible: neither side can block the
 * other. */
static weft_err exchange(struct pool *pool, weft_cancel *deadline, long *sum)
{
	long next = 1, square = 0;
	int done = 0;
	weft_err err = WEFT_OK;
	size_t chosen;

	while (done < NUMBERS && !err) {
		weft_select_case cases[] = {
			{ .kind = WEFT_SELECT_CANCELLED, .token = deadline },
			{ .kind = WEFT_SELECT_RECV, .chan = pool->results, .message = &square },
			{ .kind = next <= NUMBERS ? WEFT_SELECT_SEND : WEFT_SELECT_NONE,
				.chan = pool->work,
				.message = &next },
		};

		err = weft_select(cases, 3, WEFT_SELECT_BIASED, &chosen, WEFT_FOREVER);
		if (err)
			break;
		if (chosen == 0)
			return WEFT_ETIMEDOUT;
		if (chosen == 1) {
			*sum += square;
			done++;
		} else {
			next++;
		}
	}
	return err;
}

static weft_err start(void *arg)
{
	struct pool *pool = arg;
	weft_cancel *deadline = NULL;
	weft_scope *scope = NULL;
	long sum = 0;
	weft_err err = weft_cancel_create_deadline(&deadline, NULL, weft_after_ms(10000));

	if (!err)
		err = weft_scope_create(&scope);
	for (unsigned i = 0; i < WORKERS && !err; i++)
		err = weft_scope_spawn_on(scope, i % weft_worker_count(), "worker", worker, pool);
	if (!err)
		err = exchange(pool, deadline, &sum);
	weft_chan_close(pool->work); /* the workers end when it is empty */
	if (!err)
		err = weft_scope_wait(scope, WEFT_FOREVER);
	if (!err)
		printf("sum %ld\n", sum);
	weft_scope_free(scope); /* after an error: cancels those that are left */
	weft_cancel_unref(deadline);
	return err;
}

int main(void)
{
	struct pool pool = { NULL, NULL };
	weft_err err = weft_chan_create(&pool.work, sizeof(long), 8, NULL);

	if (!err)
		err = weft_chan_create(&pool.results, sizeof(long), 8, NULL);
	if (!err)
		err = weft_run(start, &pool, NULL);
	weft_chan_unref(pool.work);
	weft_chan_unref(pool.results);
	if (err)
		fprintf(stderr, "pool: %s: %s\n", weft_strerror(err), weft_error_detail());
	return err ? 1 : 0;
}
