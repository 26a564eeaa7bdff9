#include "cli/search_options.h"

int cli_search_options(cli *c, bool judge_alone, ib_search_asked *s) {
    static const char *const only_with[] = {"beam", "condense", "search-seconds", "search-seed", "judge"};
    *s = (ib_search_asked){.candidates = cli_is_set(c, "search") ? (size_t)cli_int(c, "search") : 0,
                           .judge = cli_text(c, "judge"),
                           .beam = (size_t)cli_int(c, "beam"),
                           .condense = cli_is_set(c, "condense") ? (size_t)cli_int(c, "condense") : 0,
                           .seconds = cli_is_set(c, "search-seconds") ? cli_real(c, "search-seconds") : 0,
                           .seed = (uint64_t)cli_int(c, "search-seed")};
    for (size_t i = 0; !s->candidates && i < sizeof only_with / sizeof *only_with - judge_alone; i++) {
        if (cli_is_set(c, only_with[i])) {
            return cli_usage(c, "--%s says how to search: --search N is missing", only_with[i]);
        }
    }
    s->judge = s->candidates ? s->judge : NULL;
    if (s->condense > s->candidates && s->candidates) {
        return cli_usage(c, "--condense %zu wants no more than the %zu candidates of --search", s->condense,
                         s->candidates);
    }
    return CLI_DONE;
}
