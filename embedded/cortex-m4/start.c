/* Starts a program on QEMU's mps2-an386 (a Cortex-M4), with the arguments that QEMU was given. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern uint8_t stack_top[], bss_start[], bss_end[];
void initialise_monitor_handles(void); /* of newlib: files by semihosting */
int main(int argc, char **argv);

enum { GET_COMMAND_LINE = 0x15 };

static int semihost(int call, void *argument)
{
	register int r0 __asm__("r0") = call;
	register void *r1 __asm__("r1") = argument;

	__asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
	return r0;
}

static void start(void)
{
	static char line[512];
	static char *argv[8];
	struct {
		char *line;
		int size;
	} command = {line, sizeof line};
	int argc = 0;
	char *word;

	memset(bss_start, 0, (size_t)(bss_end - bss_start));
	initialise_monitor_handles();
	if (semihost(GET_COMMAND_LINE, &command))
		exit(2);
	for (word = strtok(line, " "); word && argc < 7; word = strtok(NULL, " "))
		argv[argc++] = word;
	exit(main(argc, argv));
}

/* A fault ends the program, which would else stand still. */
static void fault(void)
{
	static const uintptr_t aborted = 0x20023; /* ADP_Stopped_RunTimeErrorUnknown */

	semihost(0x18, (void *)aborted);
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
	stack_top, (void *)start, (void *)fault, (void *)fault, (void *)fault, (void *)fault, (void *)fault,
};
