/* SPDX-License-Identifier: MIT */
#ifndef MODEL_RETIRED_H
#define MODEL_RETIRED_H

/* What support/reclaim.c keeps: called by a model's setup, and when all threads have ended. */
void retired_setup(void);
void retired_free(void);

#endif
