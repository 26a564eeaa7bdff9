/* The one piece of process-wide state: a signal handler has nowhere else to put what it heard. */
#include <signal.h>
#include <unistd.h>
#include "cli/private.h"

static atomic_int stop;

static void hear(int signal_number) {
    (void)signal_number;
    if (atomic_exchange(&stop, 1)) {
        _exit(CLI_INTERRUPTED);
    }
}

void cli_interrupt_begin(void) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1}; /* the last one: batch systems */
    struct sigaction act = {.sa_handler = hear, .sa_flags = SA_RESTART}, old;
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        /* nohup and background jobs have theirs ignored, and that is to stay so */
        if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN) {
            sigaction(signals[i], &act, NULL);
        }
    }
}

const atomic_int *cli_stop(const cli *c) {
    (void)c;
    return &stop;
}
