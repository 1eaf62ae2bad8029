/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launcher.c: psp-agent as one file where deno compile cannot be had. Unpacks the runtime, the program and
 * the shim once, and becomes the runtime, with the permissions that the compiled form has built in.
 */
#include "payload.h"
#include "place.h"
#include "unpack.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

#define FAILURE 1

/* What was tried, for the one sentence that is said when nothing worked. */
static char tried[2048];

static void note(const char *path, const char *reason)
{
	size_t len = strlen(tried);
	int n = snprintf(tried + len, sizeof(tried) - len, "%s%s (%s)", len > 0 ? ", " : "", path,
			 reason);

	/* What does not fit is left out. */
	if (n < 0 || (size_t)n >= sizeof(tried) - len)
		tried[len] = '\0';
}

/* The environment must not change what the runtime does; a compiled program would not heed it either. */
static void clean_environment(const char *runtime)
{
	char name[128];
	char **entry = environ;

	while (*entry != NULL) {
		size_t len = strcspn(*entry, "=");

		if (len < sizeof(name) &&
		    (strncmp(*entry, "DENO_", 5) == 0 || strncmp(*entry, "NODE_", 5) == 0)) {
			(void)snprintf(name, sizeof(name), "%.*s", (int)len, *entry);
			/* Said by people, about colours. */
			if (strcmp(name, "NODE_DISABLE_COLORS") != 0 && unsetenv(name) == 0)
				continue;
		}
		entry++;
	}
	/* Below a file nothing can be written: the runtime does without its caches. */
	(void)setenv("DENO_DIR", runtime, 1);
	(void)setenv("DENO_NO_UPDATE_CHECK", "1", 1);
}

/*
 * Returns only when it fails: why. `dir` holds the files that were looked at: all of them are used through it, and
 * by no name that somebody could give to something else meanwhile.
 */
static const char *become(int dir, int argc, char **argv)
{
	const char *emulator = getenv("PSP_AGENT_EMULATOR");
	char runtime[PATH_MAX], program[PATH_MAX];
	size_t flags = 0, n = 0;
	char **args;

	if (snprintf(runtime, sizeof(runtime), "/proc/self/fd/%d/%s", dir, payload_runtime) >=
		    (int)sizeof(runtime) ||
	    snprintf(program, sizeof(program), "/proc/self/fd/%d/%s", dir, payload_program) >=
		    (int)sizeof(program))
		return strerror(ENAMETOOLONG);
	while (payload_flags[flags] != NULL)
		flags++;
	args = calloc(flags + (size_t)argc + 4, sizeof(*args));
	if (args == NULL)
		return "out of memory";
	/* On a machine of another architecture (tests). */
	if (emulator != NULL)
		args[n++] = (char *)(uintptr_t)emulator;
	args[n++] = argc > 0 && emulator == NULL ? argv[0] : runtime;
	for (size_t i = 0; i < flags; i++)
		args[n++] = (char *)(uintptr_t)payload_flags[i];
	args[n++] = program;
	for (int i = 1; i < argc; i++)
		args[n++] = argv[i];
	clean_environment(runtime);
	(void)execv(emulator != NULL ? emulator : runtime, args);
	free(args);
	return strerror(errno);
}

/* SIGUSR1 would open the runtime's inspector, through which keys could be read; a core has keys, too. */
static void close_doors(const char *command)
{
	const struct rlimit none = {0, 0};
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	/* Where a file may not grow any more (ulimit -f) the write fails, as on a full disk. */
	(void)signal(SIGXFSZ, SIG_IGN);
	/*
	 * It means "read the files again" to an agent: one that comes before it listens must not end it. Other commands
	 * end with their terminal.
	 */
	if (command != NULL && (command[0] == '-' || strcmp(command, "run") == 0))
		(void)signal(SIGHUP, SIG_IGN);
	(void)setrlimit(RLIMIT_CORE, &none);
}

/*
 * Capabilities of the file (setcap) reach this process only: as ambient ones they reach the runtime, too.
 * Whoever may run such a file has them, whatever the program does; see docs/install.md.
 */
static void pass_on_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (geteuid() == 0 || syscall(SYS_capget, &header, data) != 0)
		return;
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		data[i].inheritable |= data[i].permitted;
	if (syscall(SYS_capset, &header, data) != 0)
		return;
	for (unsigned int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if ((data[CAP_TO_INDEX(cap)].permitted & CAP_TO_MASK(cap)) != 0)
			(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
}

int main(int argc, char **argv)
{
	char path[PATH_MAX];

	close_doors(argc > 1 ? argv[1] : NULL);
	pass_on_capabilities();
	/* The runtime does not start in a directory that was removed. */
	if (getcwd(path, sizeof(path)) == NULL && errno == ENOENT && chdir("/") != 0)
		note("/", strerror(errno));
	for (unsigned int n = 0; n < PLACES; n++) {
		struct place place = {.fd = -1};
		const char *reason;
		int dir = -1;

		if (!place_name(n, path))
			continue;
		reason = place_open(path, &place);
		if (reason == NULL)
			reason = unpack(&place, &dir);
		if (reason == NULL)
			reason = become(dir, argc, argv);
		if (dir >= 0)
			(void)close(dir);
		if (place.fd >= 0)
			(void)close(place.fd);
		note(path, reason);
		/* Whoever names a place wants no other one. */
		if (n == 0)
			break;
	}
	(void)fprintf(stderr,
		      "psp-agent: Cannot start: no directory to unpack into; tried %s; "
		      "PSP_AGENT_CACHE names another one\n",
		      tried);
	return FAILURE;
}
