/* The man page and the shells' completions, from the one table of commands, so that they cannot lag behind
 * it. */
#include <string.h>
#include "cli/private.h"

/* The man page (man(7)). */

static void roff(FILE *out, const char *s) {
    bool line = true;
    for (; *s; s++) {
        if (line && (*s == '.' || *s == '\'')) {
            fputs("\\&", out);
        }
        if (line && *s == ' ') {
            fputs(".br\n\\&", out); /* an example keeps its line */
        }
        if (*s == '\n' && s[1] == '\n') {
            fputs("\n.PP\n", out);
            s++;
            line = true;
            continue;
        }
        fputs(*s == '\\' ? "\\e" : *s == '-' ? "\\-" : (char[2]){*s, 0}, out);
        line = *s == '\n';
    }
    fputc('\n', out);
}

static void roff_heading(FILE *out, const char *heading) {
    fputs(".SS ", out);
    roff(out, heading);
}

static void roff_option(FILE *out, const cli_option *o) {
    char head[96], text[1024];
    cli_option_head(o, head, sizeof head);
    cli_option_text(o, text, sizeof text);
    fputs(".TP\n.B ", out);
    roff(out, head + strspn(head, " "));
    roff(out, text);
}

void cli_man(FILE *out) {
    fprintf(out, ".TH INBETWEEN 1 \"\" \"inbetween " IB_VERSION "\" \"User Commands\"\n.SH NAME\n"
                 "inbetween \\- train and use video in\\-between models\n.SH SYNOPSIS\n");
    for (size_t i = 0; cli_commands[i]; i++) {
        fprintf(out, "%s.B inbetween %s\n", i ? ".br\n" : "", cli_commands[i]->name);
        roff(out, cli_commands[i]->arguments);
    }
    fputs(".SH DESCRIPTION\n", out);
    roff(out, cli_purpose);
    fputs(".PP\n", out);
    roff(out, cli_conduct);
    for (size_t i = 0; cli_commands[i]; i++) {
        const cli_command *m = cli_commands[i];
        fprintf(out, ".SH INBETWEEN ");
        for (const char *s = m->name; *s; s++) {
            fputc(*s >= 'a' && *s <= 'z' ? *s - 32 : *s, out);
        }
        fprintf(out, "\n.B inbetween %s\n", m->name);
        roff(out, m->arguments);
        fputs(".PP\n", out);
        roff(out, m->summary);
        if (m->details && m->details[0]) {
            fputs(".PP\n", out);
            roff(out, m->details);
        }
        cli_each_option(out, m, roff_heading, roff_option);
    }
}

/* Completions: options after a dash, commands first, files elsewhere. */

static void bash_option(FILE *out, const cli_option *o) {
    fprintf(out, " --%s", o->name);
}

static void bash(FILE *out) {
    fputs("# bash completion for inbetween\n_inbetween() {\n    local cur=${COMP_WORDS[COMP_CWORD]} words=\n"
          "    COMPREPLY=()\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words='",
          out);
    for (size_t i = 0; cli_commands[i]; i++) {
        fprintf(out, "%s ", cli_commands[i]->name);
    }
    fputs("help --help --version'\n    elif [[ $cur == -* ]]; then\n        case ${COMP_WORDS[1]} in\n", out);
    for (size_t i = 0; cli_commands[i]; i++) {
        fprintf(out, "        %s) words='", cli_commands[i]->name);
        cli_each_option(out, cli_commands[i], NULL, bash_option);
        fputs("' ;;\n", out);
    }
    fputs("        esac\n    fi\n    [ -z \"$words\" ] || mapfile -t COMPREPLY < <(compgen -W \"$words\" -- "
          "\"$cur\")\n}\n"
          "complete -o default -F _inbetween inbetween\n",
          out);
}

/* A text in single quotes; zsh's own marks are escaped on request. */
static void quoted(FILE *out, const char *s, const char *escape) {
    for (; *s; s++) {
        if (*s == '\'') {
            fputs("'\\''", out);
        } else {
            fprintf(out, strchr(escape, *s) ? "\\%c" : "%c", *s);
        }
    }
}

static void zsh_option(FILE *out, const cli_option *o) {
    fprintf(out, "            '--%s%s[", o->name, o->kind == CLI_FLAG ? "" : "=");
    quoted(out, o->help, "[]:\\");
    fprintf(out, "]%s%s%s' \\\n", o->kind == CLI_FLAG ? "" : ":",
            o->kind == CLI_FLAG || !o->value ? "" : o->value, o->kind == CLI_FLAG ? "" : ":_files");
}

static void zsh(FILE *out) {
    fputs("#compdef inbetween\nif (( CURRENT == 2 )); then\n    local -a names=(\n", out);
    for (size_t i = 0; cli_commands[i]; i++) {
        fprintf(out, "        '%s:", cli_commands[i]->name);
        quoted(out, cli_commands[i]->summary, ":\\");
        fputs("'\n", out);
    }
    fputs("    )\n    _describe command names\nelse\n    local name=$words[2]\n    shift words\n    (( "
          "CURRENT-- ))\n"
          "    case $name in\n",
          out);
    for (size_t i = 0; cli_commands[i]; i++) {
        fprintf(out, "    %s)\n        _arguments \\\n", cli_commands[i]->name);
        cli_each_option(out, cli_commands[i], NULL, zsh_option);
        fputs("            '*:file:_files' ;;\n", out);
    }
    fputs("    esac\nfi\n", out);
}

static void fish(FILE *out) {
    for (size_t i = 0; cli_commands[i]; i++) {
        const cli_command *m = cli_commands[i];
        fprintf(out, "complete -c inbetween -n __fish_use_subcommand -f -a %s -d '", m->name);
        quoted(out, m->summary, "\\");
        fputs("'\n", out);
        size_t n = 0;
        while (m->options && m->options[n].name) {
            n++;
        }
        for (size_t k = 0; k < n + CLI_COMMON; k++) {
            const cli_option *o = k < n ? &m->options[k] : &cli_common[k - n];
            fprintf(out, "complete -c inbetween -n '__fish_seen_subcommand_from %s' -l %s", m->name, o->name);
            if (o->letter) {
                fprintf(out, " -s %c", o->letter);
            }
            fprintf(out, "%s -d '", o->kind == CLI_FLAG ? "" : " -r");
            quoted(out, o->help, "\\");
            fputs("'\n", out);
        }
    }
}

bool cli_completion(FILE *out, const char *shell) {
    static const struct {
        const char *name;
        void (*print)(FILE *);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (!strcmp(shell, shells[i].name)) {
            shells[i].print(out);
            return true;
        }
    }
    return false;
}
