/* SPDX-License-Identifier: MIT */
/*
 * A fan-out: one sender, three subscribers. Two keep up; the third sleeps while eight
 * messages go by, is told how many it missed, and goes on with the oldest that is kept.
 */
#include <weft/weft.h>

#include <stdio.h>

#define KEEPERS 2
#define MESSAGES 8

static weft_err keep_up(void *arg)
{
	weft_broadcast_sub *sub = arg;
	int number, sum = 0;
	weft_err err;

	while (!(err = weft_broadcast_sub_recv(sub, &number, WEFT_FOREVER)))
		sum += number;
	printf("kept up: sum %d\n", sum);
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

static weft_err come_late(void *arg)
{
	weft_broadcast_sub *sub = arg;
	int number;

	for (;;) {
		weft_err err = weft_broadcast_sub_recv(sub, &number, WEFT_FOREVER);

		if (err == WEFT_OK)
			printf("late: %d\n", number);
		else if (err == WEFT_ELAGGED)
			printf("late: missed %d\n", (int)weft_broadcast_sub_missed(sub));
		else
			return err == WEFT_ECLOSED ? WEFT_OK : err;
	}
}

static weft_err talk(weft_broadcast *b, weft_broadcast_sub **subs)
{
	weft_scope *scope = NULL;
	weft_err err = weft_scope_create(&scope);

	for (int i = 0; i < KEEPERS && !err; i++)
		err = weft_scope_spawn(scope, "keeper", keep_up, subs[i]);
	for (int number = 1; number <= MESSAGES && !err; number++) {
		err = weft_broadcast_send(b, &number);
		if (!err)
			err = weft_yield(); /* or none would keep up */
	}
	weft_broadcast_close(b);
	if (!err)
		err = weft_scope_wait(scope, WEFT_FOREVER);
	weft_scope_free(scope);
	return err ? err : come_late(subs[KEEPERS]);
}

static weft_err start(void *arg)
{
	weft_broadcast_sub *subs[KEEPERS + 1] = { NULL };
	weft_broadcast *b = NULL;
	weft_err err = weft_broadcast_create(&b, sizeof(int), 4, NULL);

	(void)arg;
	for (int i = 0; i <= KEEPERS && !err; i++)
		err = weft_broadcast_sub_create(&subs[i], b);
	if (!err)
		err = talk(b, subs);
	for (int i = 0; i <= KEEPERS; i++)
		weft_broadcast_sub_free(subs[i]);
	weft_broadcast_unref(b);
	return err;
}

int main(void)
{
	weft_err err = weft_run(start, NULL, NULL);

	if (err)
		fprintf(stderr, "fanout: %s: %s\n", weft_strerror(err), weft_error_detail());
	return err ? 1 : 0;
}
