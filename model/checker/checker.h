/* SPDX-License-Identifier: MIT */
#ifndef MODEL_CHECKER_CHECKER_H
#define MODEL_CHECKER_CHECKER_H

/*
 * The checker's own structures. It has no static data but the pointer to all of them: that of
 * the program is put back before each run.
 *
 *	tsan.c	   what the compiler calls for each access; becomes an operation, or a look
 *		   at the shadow
 *	memory.c   locations, their messages, what a load may read: the memory model
 *	objects.c  locks, parkers, futexes, each one step
 *	shadow.c   races of plain accesses, freed memory, the arena
 *	explore.c  which schedules are run: depth first, by replay, with partial-order reduction
 *	report.c   a failed schedule for humans
 *
 * Threads are coroutines of one system thread. Each stops before each operation, so that
 * what it would do next is known to who chooses.
 */
#include "model.h"

#include <stdio.h>

#define THREADS (MODEL_THREADS_MAX + 1) /* 0: setup and check */
#define LOCS 96
#define MESSAGES 3000
#define LOC_MESSAGES 256
#define EVENTS 3000
#define NOTES 64
#define RECORDS 40 /* accesses remembered of eight bytes */
#define STACK_SIZE ((size_t)48 << 10)
#define LEAVE_SIZE ((size_t)2 << 10) /* looked at when a thread ends */
#define ARENA_SIZE ((size_t)64 << 10)
#define WORLD_SIZE (ARENA_SIZE + STACK_SIZE * THREADS)
#define GLOBALS_MAX ((size_t)256 << 10)
#define BLOCKS 256
#define OUTCOMES 4096
#define PER_THREAD_MAX 8

enum order { RELAXED, CONSUME, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST };

static inline bool acquires(int order)
{
	return order == ACQUIRE || order == CONSUME || order >= ACQ_REL;
}

static inline bool releases(int order)
{
	return order >= RELEASE;
}

/* What a thread knows: which accesses of others happened before (clock), and the oldest
 * message of each location that it may still read (floor). */
struct view {
	uint32_t clock[THREADS];
	uint16_t floor[LOCS];
};

struct message {
	uint64_t value;
	struct view view; /* what reading it by an acquire makes known */
	int event;	  /* who wrote it; -1: setup */
};

enum op_kind {
	OP_LOAD,
	OP_STORE,
	OP_RMW,
	OP_CAS,
	OP_LOCK,
	OP_UNLOCK,
	OP_PARK,
	OP_UNPARK,
	OP_FUTEX_WAIT,
	OP_FUTEX_RESUME,
	OP_FUTEX_WAKE,
	OP_SPIN,
	OP_CHOOSE,
	OP_BARRIER,
	OP_DONE,
};

enum rmw { RMW_XCHG, RMW_ADD, RMW_SUB, RMW_OR, RMW_AND, RMW_XOR };

/* An operation about to be done, then with its result. */
struct op {
	enum op_kind kind;
	enum rmw rmw;
	uint8_t size, order, fail_order;
	uintptr_t addr;
	uint64_t operand;  /* to write; choose: how many; park, futex: may fail */
	uint64_t expected; /* CAS, futex wait */
	uint64_t result;   /* read; choose, park: which */
	bool ok;	   /* CAS */
	void *pc;
};

/* How an event depends on others of its location: reads commute with each other. */
enum effect { EFFECT_NONE, EFFECT_READ, EFFECT_WRITE, EFFECT_ALL };

struct event {
	struct op op;
	uint64_t before; /* what a write replaced */
	uint8_t thread;
	uint8_t effect;
	bool loose;		/* a seq_cst load that might have bound another one */
	uint16_t seq;		/* number in its thread, from 1 */
	int16_t loc;		/* -1: none */
	uint16_t read;		/* index of the message read ... */
	uint16_t last;		/* ... of that many */
	uint16_t past[THREADS]; /* the events it depends on, itself included: seq by thread */
};

struct loc {
	uintptr_t addr;
	uint8_t size;
	bool is_object;
	uint16_t count;
	uint16_t ids[LOC_MESSAGES]; /* of messages, oldest first: the modification order */
	uint16_t sc_floor;	    /* the newest that a seq_cst operation touched */
	/* for the reduction */
	int last_write, last_lock;
	int reads[THREADS];   /* since the last write, the last of each thread */
	int reads_n[THREADS]; /* how many */
	/* objects */
	uint8_t owner;	   /* lock */
	uint16_t turns;	   /* lock: times it was taken */
	bool token;	   /* parker */
	unsigned sleepers; /* futex: mask of threads */
};

struct thread {
	void *sp;
	char *stack;
	void (*fn)(void);
	bool done;
	bool woken;   /* futex */
	int woken_by; /* event */
	bool was_spurious;
	struct op next;
	struct view view;
	uint16_t seq;
	uint16_t past[THREADS];
	uint16_t spin_read[LOCS]; /* version of what was read, plus one; 0: not read */
	char saved[PER_THREAD_MAX][64];
};

/* A state on the way, and what was and is to be tried from it. Bits are threads. */
struct node {
	uint8_t thread;
	uint16_t option, options;
	uint32_t enabled, sleep, todo;
};

struct record {
	uint8_t mask; /* of the eight bytes */
	uint8_t kind; /* enum access */
	uint8_t thread;
	uint32_t clock;
};

enum access { READS = 0, WRITES = 1, ATOMIC = 2, ATOMIC_READS = 2, ATOMIC_WRITES = 3 };
enum life { NEVER, ALIVE, FREED };

/* What is known of eight bytes. */
struct cell {
	uint32_t run;
	uint8_t life;
	uint8_t records_n;
	uint8_t loc[8]; /* number plus one of the location that starts there */
	struct record records[RECORDS];
};

struct note {
	int event;
	uint8_t thread;
	const char *text;
	long value;
};

struct checker {
	const struct model *model;
	void *main_sp;
	unsigned self;	    /* who runs */
	bool alone;	    /* no choices: setup, check, a last look (see stuck) */
	unsigned starting;  /* the thread that runs up to its first operation; 0: none */
	unsigned threads_n; /* 1 and up are threads */
	uint32_t run;
	struct thread threads[THREADS];

	struct loc locs[LOCS];
	size_t locs_n;
	struct message messages[MESSAGES];
	size_t messages_n;
	struct event events[EVENTS];
	struct node nodes[EVENTS + 1];
	int depth, prefix; /* events so far; nodes that are given */
	uint32_t sleep;	   /* of the state that comes */
	int last_barrier;
	struct note notes[NOTES];
	size_t notes_n;

	char *world;
	char *globals;
	size_t globals_size;
	char *globals_copy;
	struct cell cells[WORLD_SIZE / 8];
	struct cell global_cells[GLOBALS_MAX / 8];
	size_t arena_used;
	struct {
		char *ptr;
		size_t size;
		bool freed;
	} blocks[BLOCKS];
	size_t blocks_n;
	struct {
		char *ptr;
		size_t size;
	} per_thread[PER_THREAD_MAX];
	size_t per_thread_n;

	bool full;    /* no reduction: to compare with */
	bool collect; /* no failure but an outcome, for the same */
	uint64_t outcomes[OUTCOMES];
	size_t outcomes_n;
	uint64_t compared[2][OUTCOMES];
	uint64_t seed; /* of a program that is compared */
	bool over;
	bool failed;
	char failure[512];
	void *failure_pc;
	void *failure_other; /* the other access of a race; NULL */

	/* statistics */
	uint64_t runs, runs_slept, runs_spun, events_n;
	int depth_max;
};

extern struct checker *mc;

/* explore.c */
uint64_t op_run(const struct op *op); /* a step of the running thread; its result */
bool op_ok(void);		      /* the same of a CAS */
_Noreturn void run_over(void);
bool explore(const struct model *model, uint64_t runs_max, double seconds_max);
bool in_past(const uint16_t *past, int event);
size_t options_take(size_t n);
void outcome_add(uint64_t outcome);

/* memory.c */
int loc_of(uintptr_t addr, size_t size);
void loc_forget(struct cell *cell, unsigned mask);
void view_join(struct view *to, const struct view *from);
void memory_op(struct thread *t, struct op *op, struct event *e);
uint64_t memory_latest(int loc);

/* objects.c */
bool op_is_enabled(const struct thread *t);
void object_op(struct thread *t, struct op *op, struct event *e);

/* shadow.c */
void shadow_access(unsigned thread, uintptr_t addr, size_t size, enum access kind, void *pc);
struct cell *cell_of(uintptr_t addr);
void world_reset(void);
void world_make(void);
void leaks_check(void);
void stack_leave(unsigned thread);

/* report.c */
_Noreturn void fail_at(void *pc, void *other, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void report_failure(FILE *out, bool whole);

#endif
