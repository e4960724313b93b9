/* SPDX-License-Identifier: MIT */
/*
 * A value made once: four fibers need a table. Whoever comes first makes it, the others wait;
 * the first attempt fails, and the next one that waits makes its own.
 */
#include <weft/weft.h>

#include <stdio.h>
#include <stdlib.h>

#define SQUARES 100

static weft_err table_make(void *arg, void **value)
{
	int *attempts = arg;
	weft_err err = weft_sleep_ms(1); /* may wait: the others do, too */
	long *squares;

	if (err)
		return err;
	if (++*attempts == 1)
		return WEFT_EIO;
	squares = calloc(SQUARES, sizeof(*squares));
	if (!squares)
		return WEFT_ENOMEM;
	for (long i = 0; i < SQUARES; i++)
		squares[i] = i * i;
	*value = squares;
	return WEFT_OK;
}

struct user {
	weft_once *once;
	int *attempts;
	long sum;
	bool failed;
};

static weft_err use(void *arg)
{
	struct user *u = arg;
	void *value;
	weft_err err =
		weft_once_get_or_init(u->once, &value, table_make, u->attempts, WEFT_FOREVER);

	u->failed = err == WEFT_EIO;
	if (err)
		return u->failed ? WEFT_OK : err;
	for (int i = 0; i < SQUARES; i++)
		u->sum += ((const long *)value)[i];
	return WEFT_OK;
}

static weft_err start(void *arg)
{
	struct user users[4];
	int attempts = 0, failed = 0;
	weft_scope *scope;
	weft_err err = weft_scope_create(&scope);

	for (unsigned i = 0; i < 4 && !err; i++) {
		users[i] = (struct user){ arg, &attempts, 0, false };
		err = weft_scope_spawn(scope, "user", use, &users[i]);
	}
	if (!err)
		err = weft_scope_wait(scope, WEFT_FOREVER);
	weft_scope_free(scope);
	if (err)
		return err;
	for (int i = 0; i < 4; i++) {
		failed += users[i].failed;
		if (!users[i].failed)
			printf("sum %ld\n", users[i].sum);
	}
	printf("attempts %d, failed %d\n", attempts, failed);
	return WEFT_OK;
}

int main(void)
{
	weft_once *once = NULL;
	weft_err err = weft_once_create(&once, free);

	if (!err)
		err = weft_run(start, once, NULL);
	weft_once_free(once);
	if (err)
		fprintf(stderr, "once: %s: %s\n", weft_strerror(err), weft_error_detail());
	return err ? 1 : 0;
}
