/* SPDX-License-Identifier: MIT */
#ifndef COMMANDS_H
#define COMMANDS_H

/* argv: after the command's own name, NULL-terminated. They return the exit status. */
int command_bridge(const char *const *argv);
void command_bridge_help(void);
int command_http(const char *const *argv);
void command_http_help(void);
int command_replay(const char *const *argv);
void command_replay_help(void);

#endif
