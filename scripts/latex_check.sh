#!/bin/sh
# Compiles the LaTeX files of a report as a paper would: in one column, in two, and on the page of a conference.
# Fails on any error, warning, or line that is too wide. Needs pdflatex; on Debian
# the packages texlive-latex-recommended, texlive-pictures and lmodern.
#
#   scripts/latex_check.sh reports/examples/quickstart
set -eu

report=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# check NAME CLASS-OPTIONS PREAMBLE
check() {
    {
        printf '\\documentclass[%s]{article}\n' "$2"
        printf '\\usepackage[T1]{fontenc}\n\\usepackage{lmodern,booktabs,graphicx,tikz}\n%s\n' "$3"
        printf '\\begin{document}\n'
        for file in "$report"/*.tex; do
            case $file in
                *-numbers.tex) printf '\\input{%s}\n' "$file" ;;
                */ranks*) printf '\\begin{center}\\input{%s}\\end{center}\n' "$file" ;;
                *) printf '\\input{%s}\\clearpage\n' "$file" ;;
            esac
        done
        # Each number of the macros, as prose has it.
        sed -n 's/^\\expandafter\\def\\csname sweep@\([^@]*\)@\([^@]*\)@\(.*\)@\(mean\|ci\|n\)\\endcsname.*/\\sweepresult[\4]{\1}{\2}{\3}\\par/p' \
            "$report"/*-numbers.tex
        printf '\\end{document}\n'
    } > "$work/$1.tex"
    # Twice, for references.
    for _ in 1 2; do
        (cd "$work" && pdflatex -interaction=nonstopmode -halt-on-error "$1.tex" > "$1.out") || {
            grep -A 5 '^!' "$work/$1.out"
            echo "$1: does not compile"
            exit 1
        }
    done
    if grep -E 'Warning|Overfull|Underfull' "$work/$1.log"; then
        echo "$1: has warnings"
        exit 1
    fi
    echo "$1: no warnings"
}

check one-column "" ""
check two-columns "twocolumn" '\newcommand{\sweepfloat}{table*}'
check narrow "twocolumn" ""
check conference "" '\setlength{\textwidth}{5.5in}\setlength{\textheight}{9in}'
