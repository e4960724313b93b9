/* SPDX-License-Identifier: MIT */
/*
 * A map that many fibers use: words are counted by all of them, and a line that is costly to
 * get is fetched once however many ask for it.
 */
#include <weft/weft.h>

#include <stdio.h>
#include <string.h>

#define COUNTERS 4

static const char text[] = "the quick fox and the lazy dog and the cat";

struct shared {
	weft_map *words; /* word -> how often */
	weft_map *pages; /* number -> the page's length */
};

/* One entry, read and changed in one step. */
static weft_map_verdict one_more(void *arg, bool found, uint64_t *value)
{
	(void)arg;
	*value = found ? *value + 1 : 1;
	return WEFT_MAP_STORE;
}

/* Runs once a page: who else asks waits here and gets the same. It may park. */
static weft_err fetch(void *arg, uint64_t *length)
{
	weft_err err = weft_sleep_ns(1000000);

	if (err)
		return err; /* cancelled: the next who waits fetches */
	*length = 100 * *(const uint64_t *)arg;
	puts("fetched");
	return WEFT_OK;
}

static weft_err count(void *arg)
{
	struct shared *shared = arg;
	const char *word = text;
	uint64_t page = 7, length = 0;
	weft_err err = WEFT_OK;

	while (*word && !err) {
		size_t len = strcspn(word, " ");

		err = weft_map_compute(shared->words, weft_map_bytes(word, len), one_more, NULL);
		word += len;
		word += strspn(word, " ");
	}
	if (!err)
		err = weft_map_get_or_insert_with(
			shared->pages, weft_map_int(page), &length, fetch, &page, WEFT_FOREVER);
	return err;
}

static bool is_frequent(void *arg, weft_map_key word, uint64_t times)
{
	(void)arg;
	(void)word;
	return times > COUNTERS;
}

static weft_err run(void *arg)
{
	weft_map_options words = WEFT_MAP_OPTIONS_DEFAULT;
	struct shared shared = { NULL, NULL };
	weft_scope *scope = NULL;
	uint64_t times = 0, length = 0;
	weft_err err;

	(void)arg;
	words.keys = WEFT_MAP_BYTES;
	err = weft_map_create(&shared.words, &words);
	if (!err)
		err = weft_map_create(&shared.pages, NULL);
	if (!err)
		err = weft_scope_create(&scope);
	for (unsigned i = 0; i < COUNTERS && !err; i++)
		err = weft_scope_spawn_on(scope, i % weft_worker_count(), "count", count, &shared);
	if (!err)
		err = weft_scope_wait(scope, WEFT_FOREVER);
	weft_scope_free(scope);
	if (!err && weft_map_get(shared.words, weft_map_text("the"), &times) &&
		weft_map_get(shared.pages, weft_map_int(7), &length)) {
		printf("the: %d, page 7: %d, words: %zu\n", (int)times, (int)length,
			weft_map_len(shared.words));
		err = weft_map_retain(shared.words, is_frequent, NULL, NULL);
		printf("frequent: %zu\n", weft_map_len(shared.words));
	}
	weft_map_free(shared.pages);
	weft_map_free(shared.words);
	return err;
}

int main(void)
{
	weft_err err = weft_run(run, NULL, NULL);

	if (err)
		fprintf(stderr, "map: %s\n", weft_error_detail());
	return err != WEFT_OK;
}
