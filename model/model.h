/* SPDX-License-Identifier: MIT */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

/*
 * What a model is made of. A model program defines `models` and `models_count`; the checker
 * brings main. How it works, and what it can't see: docs/verification.md.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_THREADS_MAX 5

/* setup, then the threads under every schedule, then check when all have returned. setup and
 * check run alone: what they do is ordered before and after all threads. */
struct model {
	const char *name;
	const char *what; /* the threads and the bound, for the table */
	void (*setup)(void);
	void (*thread[MODEL_THREADS_MAX])(void);
	void (*check)(void);
	bool quick;    /* one of those that run with the tests */
	bool leaks;    /* memory that is left at the end is no failure */
	bool spurious; /* the park of the stand-in may return for no reason, once each */
};

/* One of them; Q: a quick one. */
#define M(...)              \
	{                   \
		__VA_ARGS__ \
	}
#define Q(...)                             \
	{                                  \
		__VA_ARGS__, .quick = true \
	}

extern const struct model models[];
extern const size_t models_count;

/* Fails the run that is under way; does not return. */
_Noreturn void model_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define MODEL_CHECK(cond) ((cond) ? (void)0 : model_fail("%s: does not hold", #cond))

/* Which thread calls: 1 .. MODEL_THREADS_MAX; 0 in setup and check. */
unsigned model_self(void);
/* 0 .. n - 1, each of them in some run. */
unsigned model_choose(unsigned n);
/* For programs that are compared with and without reduction (-c): what came out of the run,
 * and which program it is. */
void model_outcome(uint64_t outcome);
uint64_t model_seed(void);
/* A line of the printed schedule; static text. */
void model_note(const char *text, long value);

/*
 * Stand-ins for what is modelled elsewhere, each one step. caller: for the schedule.
 * The word's address says which object; a caller of NULL is whoever calls this.
 */
void model_lock(void *word, void *caller);
void model_unlock(void *word, void *caller);

enum model_park { MODEL_PARK_WOKEN, MODEL_PARK_FAILED, MODEL_PARK_SPURIOUS };

/* Waits for an unpark since the last park that took one. may_fail: or returns whenever. */
enum model_park model_park(void *word, bool may_fail, void *caller);
void model_unpark(void *word, void *caller);

/* The futex: sleeps if *word is expected; returns 0, EAGAIN or ETIMEDOUT. */
int model_futex_wait(void *word, uint32_t expected, bool may_fail, void *caller);
void model_futex_wake(void *word, int count, void *caller);

/*
 * The end of a round of a loop that waits and has no effect but reading: the rounds that
 * found nothing are not followed further, because a schedule in which the loop came later
 * has the same effect. It is a failure if nobody will ever write what the round has read.
 */
void model_spin(void *caller);

/* All threads execute a full fence now (membarrier). */
void model_barrier(void *caller);

/* Memory that looks the same in each thread's eyes but is its own: thread-local variables. */
void model_per_thread(void *ptr, size_t size);

void *model_alloc(size_t size, size_t alignment);
void model_free(void *ptr, void *caller);
size_t model_alloc_size(const void *ptr);

#endif
