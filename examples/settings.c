/* SPDX-License-Identifier: MIT */
/*
 * Settings that change while they are used: each worker looks at the latest when it begins
 * a piece of work, and one waits for a change that it needs.
 */
#include <weft/weft.h>

#include <stdio.h>

struct settings {
	int level;
	int limit;
};

static bool is_loud(const void *value, void *arg)
{
	const struct settings *settings = value;

	(void)arg;
	return settings->level >= 3;
}

static weft_err follow(void *arg)
{
	weft_watch_sub *sub = arg;
	struct settings settings;
	weft_err err = weft_watch_sub_wait_for(sub, is_loud, NULL, &settings, WEFT_FOREVER);

	if (err)
		return err;
	printf("level %d, limit %d\n", settings.level, settings.limit);
	while (!(err = weft_watch_sub_changed(sub, WEFT_FOREVER))) {
		weft_watch_sub_borrow(sub, &settings);
		printf("now level %d, limit %d\n", settings.level, settings.limit);
	}
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

/* No other change comes in between. */
static void raise(void *value, void *arg)
{
	struct settings *settings = value;

	settings->level += *(int *)arg;
	settings->limit *= 2;
}

static weft_err change(weft_watch *w)
{
	int steps[] = { 1, 1, 5 };
	weft_err err = WEFT_OK;

	for (int i = 0; i < 3 && !err; i++) {
		err = weft_watch_modify(w, raise, &steps[i]);
		if (!err)
			err = weft_yield();
	}
	weft_watch_close(w);
	return err;
}

static weft_err start(void *arg)
{
	struct settings first = { 1, 100 };
	weft_watch_sub *sub = NULL;
	weft_scope *scope = NULL;
	weft_watch *w = NULL;
	weft_err err = weft_watch_create(&w, sizeof(first), &first, NULL);

	(void)arg;
	if (!err)
		err = weft_watch_sub_create(&sub, w);
	if (!err)
		err = weft_scope_create(&scope);
	if (!err)
		err = weft_scope_spawn(scope, "follow", follow, sub);
	if (!err)
		err = change(w);
	if (!err)
		err = weft_scope_wait(scope, WEFT_FOREVER);
	weft_scope_free(scope);
	weft_watch_sub_free(sub);
	weft_watch_unref(w);
	return err;
}

int main(void)
{
	weft_err err = weft_run(start, NULL, NULL);

	if (err)
		fprintf(stderr, "settings: %s: %s\n", weft_strerror(err), weft_error_detail());
	return err ? 1 : 0;
}
