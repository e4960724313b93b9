/* SPDX-License-Identifier: MIT */
/* The same by cJSON, which builds a tree and frees it; see scan_rows.h. It does not look whether the
 * text is UTF-8. */
#include <cjson/cJSON.h>
#include <stddef.h>

static int scan(const char *text, size_t len);

#include "../scan_rows.h"

static int scan(const char *text, size_t len)
{
	static const char *const names[] = { "id", "method", "params", "result" };
	cJSON *tree = cJSON_ParseWithLength(text, len);
	int found = 0;
	if (!tree)
		bench_die("cJSON_ParseWithLength");
	for (int i = 0; i < 4; i++)
		found += cJSON_GetObjectItemCaseSensitive(tree, names[i]) != NULL;
	cJSON_Delete(tree);
	return found;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, rows);
}
