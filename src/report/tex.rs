//! Text and boxes as LaTeX shows them.

use schema::visible::one_line;

/// What a file brings along; each is defined once, whatever the number of files.
pub(crate) const PROVIDED: &str =
    "\\providecommand{\\sweepchar}[2]{\\ifdefined\\Umathcode#1\\else#2\\fi}\n";

/// Returns commands that show a box, scaled down to the width of the line if it is wider.
pub(crate) fn fitted(content: &str) -> String {
    format!(
        "\\sbox0{{{content}}}%\n\\ifdim\\wd0>\\linewidth\\resizebox{{\\linewidth}}{{!}}{{\\usebox0}}\\else\\usebox0\\fi"
    )
}

/// The text in one line that LaTeX shows as it is.
pub(crate) fn escape(text: &str) -> String {
    let text = one_line(text);
    let mut escaped = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        escaped.push_str(&shown(character));
        // Two of these would be joined into another character.
        if matches!(character, '-' | ',' | '\'' | '<' | '>')
            && characters.peek() == Some(&character)
        {
            escaped.push_str("{}");
        }
    }
    escaped
}

/// What shows a character.
fn shown(character: char) -> String {
    let command = match character {
        '\\' => "\\textbackslash{}",
        '{' => "\\{",
        '}' => "\\}",
        '$' => "\\$",
        '&' => "\\&",
        '#' => "\\#",
        '%' => "\\%",
        '_' => "\\_",
        // After the end of a row, these would be an option of it.
        '[' => "{[}",
        '*' => "{*}",
        '^' => "\\textasciicircum{}",
        '~' => "\\textasciitilde{}",
        '<' => "\\textless{}",
        '>' => "\\textgreater{}",
        '|' => "\\textbar{}",
        '"' => "\\char34{}",
        '`' => "\\textasciigrave{}",
        '–' => "--",
        '—' => "---",
        '’' => "'",
        '‘' => "\\textquoteleft{}",
        '“' => "\\textquotedblleft{}",
        '”' => "\\textquotedblright{}",
        '…' => "\\dots{}",
        '−' => "$-$",
        '≈' => "$\\approx$",
        '≤' => "$\\leq$",
        '≥' => "$\\geq$",
        '→' => "$\\rightarrow$",
        '∞' => "$\\infty$",
        '†' => "\\dag{}",
        '‡' => "\\ddag{}",
        '±' => "$\\pm$",
        '×' => "$\\times$",
        '·' => "$\\cdot$",
        '\u{a0}' => "~",
        'α' => "$\\alpha$",
        'β' => "$\\beta$",
        'γ' => "$\\gamma$",
        'δ' => "$\\delta$",
        'ε' => "$\\varepsilon$",
        'η' => "$\\eta$",
        'θ' => "$\\theta$",
        'κ' => "$\\kappa$",
        'λ' => "$\\lambda$",
        'μ' | 'µ' => "$\\mu$",
        'ν' => "$\\nu$",
        'π' => "$\\pi$",
        'ρ' => "$\\rho$",
        'σ' => "$\\sigma$",
        'τ' => "$\\tau$",
        'φ' => "$\\varphi$",
        'χ' => "$\\chi$",
        'ω' => "$\\omega$",
        ' '..='\u{7e}' | 'À'..='ÿ' => return character.to_string(),
        // LaTeX itself has no letters for it; XeLaTeX and LuaLaTeX show what the font has.
        other => return format!("\\sweepchar{{{other}}}{{U+{:04X}}}", u32::from(other)),
    };
    command.to_owned()
}
