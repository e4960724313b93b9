/* SPDX-License-Identifier: MIT */
#ifndef NET_PROCESS_LIMIT_H
#define NET_PROCESS_LIMIT_H

/* In a child, before exec: the descriptor limit that this process began with, if
 * weft_descriptor_limit_raise has changed it. Async-signal-safe. */
void process_limit_restore(void);

#endif
