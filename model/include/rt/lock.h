/* SPDX-License-Identifier: MIT */
#ifndef MODEL_INCLUDE_RT_LOCK_H
#define MODEL_INCLUDE_RT_LOCK_H

/* In place of src/rt/lock.h: the lock as one step. The real one has a model of its own. */
#include "base/align.h"
#include "model.h"

#include <stdatomic.h>
#include <stdint.h>

struct rt_lock {
	_Atomic uint32_t word;
};

__attribute__((always_inline)) static inline void rt_lock_acquire(struct rt_lock *lock)
{
	model_lock(&lock->word, NULL);
}

__attribute__((always_inline)) static inline void rt_lock_release(struct rt_lock *lock)
{
	model_unlock(&lock->word, NULL);
}

#endif
