/* SPDX-License-Identifier: MIT */
/*
 * A value made once (once.c). Held: init succeeds once and everybody gets what it made, whole;
 * an init that fails, and a caller that is cancelled while it waits its turn, hand over to the
 * next, so that nobody sleeps while it could be its turn.
 */
#include "model.h"

#include <weft/once.h>

#define MAYBE 1

static weft_once *once;
static unsigned value;	 /* what is made */
static unsigned made;	 /* times init succeeded; by who runs it alone */
static unsigned running; /* inits under way */

static void make(void)
{
	MODEL_CHECK(weft_once_create(&once, NULL) == WEFT_OK);
}

static weft_err init_ok(void *arg, void **out)
{
	(void)arg;
	MODEL_CHECK(running++ == 0);
	value = 7;
	made++;
	*out = &value;
	running--;
	return WEFT_OK;
}

static weft_err init_fails(void *arg, void **out)
{
	(void)arg;
	(void)out;
	MODEL_CHECK(running++ == 0);
	running--;
	return WEFT_EIO;
}

static void see(const unsigned *got)
{
	MODEL_CHECK(got == &value && *got == 7);
}

static void get(void)
{
	void *got = NULL;

	MODEL_CHECK(weft_once_get_or_init(once, &got, init_ok, NULL, WEFT_FOREVER) == WEFT_OK);
	see(got);
}

static void get_maybe(void)
{
	void *got = NULL;
	weft_err err = weft_once_get_or_init(once, &got, init_ok, NULL, MAYBE);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ETIMEDOUT);
	if (err == WEFT_OK)
		see(got);
}

static void get_fails(void)
{
	void *got = NULL;
	weft_err err = weft_once_get_or_init(once, &got, init_fails, NULL, WEFT_FOREVER);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_EIO);
	if (err == WEFT_OK)
		see(got);
}

static void get_fails_maybe(void)
{
	void *got = NULL;
	weft_err err = weft_once_get_or_init(once, &got, init_fails, NULL, MAYBE);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_EIO || err == WEFT_ETIMEDOUT);
}

static void wait_for_it(void)
{
	void *got = NULL;

	MODEL_CHECK(weft_once_wait(once, &got, WEFT_FOREVER) == WEFT_OK);
	see(got);
}

static void look(void)
{
	const unsigned *got = weft_once_get(once);

	if (got)
		see(got);
}

static void set(void)
{
	weft_err err = weft_once_set(once, &value);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_EDUPLICATE);
}

static void made_once(void)
{
	MODEL_CHECK(made == 1 && weft_once_get(once) == &value);
	weft_once_free(once);
}

static void free_it(void)
{
	MODEL_CHECK(made <= 1);
	weft_once_free(once);
}

static void value_there(void)
{
	make();
	value = 7;
}

const struct model models[] = {
	Q("once-2", "two get it", make, { get, get }, made_once),
	Q("once-3", "three get it", make, { get, get, get }, made_once),
	Q("once-wait", "one waits, one makes, one looks", make, { wait_for_it, get, look },
		made_once),
	Q("once-fails", "one fails, two wait", make, { get_fails, get, get }, made_once),
	Q("once-cancel", "one fails, one may give up, one waits", make,
		{ get_fails, get_maybe, get }, made_once),
	Q("once-all-fail", "two fail, one may give up", make,
		{ get_fails, get_fails_maybe, get_fails_maybe }, free_it),
	Q("once-set", "set against two who wait", value_there, { set, wait_for_it, look }, free_it),
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
