/* How commands search between keyframes. */
#ifndef IB_CLI_SEARCH_OPTIONS_H
#define IB_CLI_SEARCH_OPTIONS_H

#include "cli/cli.h"
#include "search/search.h"

/* Lines of a table of options. */
#define CLI_SEARCH                                                                                           \
    {.heading = "Search among candidates (docs/search.md)",                                                  \
     .name = "search",                                                                                       \
     .kind = CLI_INT,                                                                                        \
     .value = "N",                                                                                           \
     .min = 1,                                                                                               \
     .max = IB_CANDIDATES_MOST,                                                                              \
     .help = "look at N candidates at every place; the first is the adapter's own answer"},                  \
        {.name = "judge",                                                                                    \
         .kind = CLI_TEXT,                                                                                   \
         .value = "JUDGE",                                                                                   \
         .help = "that chooses among them: a file of inbetween train-judge"},                                \
        {.name = "beam",                                                                                     \
         .kind = CLI_INT,                                                                                    \
         .value = "B",                                                                                       \
         .min = 1,                                                                                           \
         .max = IB_SEARCH_BEAM_MOST,                                                                         \
         .initial = "1",                                                                                     \
         .help = "follow the best B paths"},                                                                 \
        {.name = "condense",                                                                                 \
         .kind = CLI_INT,                                                                                    \
         .value = "M",                                                                                       \
         .min = 1,                                                                                           \
         .max = IB_CANDIDATES_MOST,                                                                          \
         .help = "take the mean of the best M candidates, weighted by the judge; 1 takes the best (default " \
                 "N, all of them)"},                                                                         \
        {.name = "search-seconds",                                                                           \
         .kind = CLI_REAL,                                                                                   \
         .value = "S",                                                                                       \
         .min = 0.001,                                                                                       \
         .max = 1e6,                                                                                         \
         .help = "time between two keyframes; where it is over, the adapter's answer stays"},                \
    {                                                                                                        \
        .name = "search-seed", .kind = CLI_INT, .value = "N", .min = 1, .max = 1e15, .initial = "1",         \
        .help = "of candidates that are drawn"                                                               \
    }

/* 0, or the status of wrong usage. judge_alone: a judge without a search is for something else, and is not in
 * *s then. */
int cli_search_options(cli *c, bool judge_alone, ib_search_asked *s);

#endif
