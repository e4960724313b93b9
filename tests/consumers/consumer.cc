/* SPDX-License-Identifier: MIT */
#include <weft/weft.h>

#include <cstdio>

int main()
{
	int ran = 0;
	weft_err err = weft_run(
		[](void *arg) -> weft_err {
			++*static_cast<int *>(arg);
			return WEFT_OK;
		},
		&ran, nullptr);

	std::printf("weft %s\n", weft_version());
	return err == WEFT_OK && ran == 1 ? 0 : 1;
}
