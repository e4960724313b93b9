/* SPDX-License-Identifier: MIT */
#ifndef SYNC_ONESHOT_H
#define SYNC_ONESHOT_H

/* What select needs of a oneshot. */
#include "sync/wait.h"

#include <weft/oneshot.h>

/* WEFT_OK, WEFT_EAGAIN or WEFT_ECLOSED; err_set is left to the caller. */
weft_err oneshot_try_recv(weft_oneshot *o, void *value);
/* The attempt would not end in WEFT_EAGAIN; seq_cst. */
bool oneshot_is_ready(const weft_oneshot *o);
struct wait_queue *oneshot_receivers(weft_oneshot *o);
/* No send can succeed any more; seq_cst. */
bool oneshot_is_shut(const weft_oneshot *o);
struct wait_queue *oneshot_senders(weft_oneshot *o);

#endif
