use super::*;

fn value() -> Value {
    Value::from_json(
        br#"{"Name":"web","Id":"0123456789abcdef","N":3,"F":1.5,"Big":12345678901234567890,"Yes":true,"No":false,
        "Null":null,"List":["a","b","c"],"Empty":[],"Map":{"z":"1","a":"2"},"Deep":{"A":{"B":"x"}},
        "Labels":{"com.example":"v"},"Ports":[{"P":80},{"P":443}]}"#,
    )
    .unwrap()
}

fn run(text: &str) -> String {
    match Template::parse(text).and_then(|t| t.execute(&value(), MissingKey::Error)) {
        Ok(out) => out,
        Err(error) => format!("ERROR {error}"),
    }
}

fn check(cases: &[(&str, &str)]) {
    for (text, expect) in cases {
        assert_eq!(run(text), *expect, "{text}");
    }
}

#[test]
fn values_print_the_way_go_prints_them() {
    check(&[
        ("plain", "plain"),
        (
            "{{.Name}}-{{ .N }}-{{.F}}-{{.Big}}-{{.Yes}}",
            "web-3-1.5-12345678901234567890-true",
        ),
        ("{{.List}} {{.Map}} {{.Empty}}", "[a b c] map[a:2 z:1] []"),
        ("{{.Null}}", "<no value>"),
        ("{{.Deep.A.B}}", "x"),
        ("{{.Ports}}", "[map[P:80] map[P:443]]"),
        (
            "{{json .List}} {{json .Map}} {{json .Null}}",
            r#"["a","b","c"] {"z":"1","a":"2"} null"#,
        ),
        (
            "{{1.0}} {{1e6}} {{1e30}} {{0.00001}} {{0x10}} {{-7}} {{'a'}}",
            "1 1e+06 1e+30 1e-05 16 -7 97",
        ),
        (r#"{{"a\tb\"\u00e9"}} {{`raw\n`}}"#, "a\tb\"é raw\\n"),
    ]);
}

#[test]
fn control_structures_do_what_go_does() {
    check(&[
        ("{{if .Yes}}y{{else}}n{{end}}{{if .No}}y{{else}}n{{end}}", "yn"),
        ("{{if .No}}1{{else if .Yes}}2{{else}}3{{end}}", "2"),
        (
            "{{with .Deep.A}}{{.B}}{{end}}{{with .Empty}}x{{else}}none{{end}}",
            "xnone",
        ),
        ("{{with .No}}1{{else with .N}}{{.}}{{end}}", "3"),
        ("{{range .List}}{{.}},{{end}}", "a,b,c,"),
        ("{{range $i, $v := .List}}{{$i}}={{$v}} {{end}}", "0=a 1=b 2=c "),
        ("{{range $k, $v := .Map}}{{$k}}={{$v}} {{end}}", "a=2 z=1 "),
        ("{{range .Empty}}x{{else}}nothing{{end}}", "nothing"),
        ("{{range .Ports}}{{.P}}{{$.Name}} {{end}}", "80web 443web "),
        (
            "{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}",
            "a",
        ),
        (
            "{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}",
            "ac",
        ),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{$x := 1}}{{range .List}}{{$x = .}}{{end}}{{$x}}", "c"),
        ("{{$x := .Name}}{{if .Yes}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "2web"),
        (
            "{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .Name}}{{template \"t\" .N}}",
            "<web><3>",
        ),
        ("{{block \"b\" .Name}}[{{.}}]{{end}}", "[web]"),
        ("a {{- 1 -}} b {{/* no */}}c {{- /* no */ -}} d", "a1b cd"),
        ("{{(index .Ports 1).P}}", "443"),
    ]);
}

#[test]
fn functions_of_go_and_of_docker() {
    check(&[
        ("{{len .List}}{{len .Map}}{{len .Name}}", "323"),
        (
            "{{index .List 1}} {{index .Map \"z\"}} {{index .Labels \"com.example\"}}",
            "b 1 v",
        ),
        (
            "{{slice .Name 1}} {{slice .Id 0 4}} {{slice .List 1 2}}",
            "eb 0123 [b]",
        ),
        (
            "{{and .Yes .Name}} {{or .No .N}} {{not .No}} {{or .No .Null}}",
            "web 3 true <no value>",
        ),
        (
            "{{eq .N 3}} {{eq .Name \"x\" \"web\"}} {{ne .N 4}} {{lt 1 2}} {{ge 2 2}} {{gt 1.5 1.0}}",
            "true true true true true true",
        ),
        (
            "{{print 1 2 \"a\" \"b\" 3}}|{{println .Name .N}}",
            "1 2ab3|web 3\n",
        ),
        (
            r#"{{printf "%5s|%-5s|%05d|%.2f|%q|%x|%v|%%|%t" .Name .Name .N .F .Name .N .List true}}"#,
            "  web|web  |00003|1.50|\"web\"|3|[a b c]|%|true",
        ),
        (r#"{{printf "%d %s" .Name}}"#, "%!d(string=web) %!s(MISSING)"),
        (r#"{{printf "x" 1}}"#, "x%!(EXTRA int=1)"),
        (
            r#"{{html "<a&'\">"}} {{urlquery "a b/c"}} {{js "a'b<"}}"#,
            "&lt;a&amp;&#39;&#34;&gt; a+b%2Fc a\\'b\\u003C",
        ),
        (
            r#"{{split "a:b:c" ":"}} {{join .List "+"}} {{upper .Name}} {{lower "ABC"}} {{title "ab cd"}}"#,
            "[a b c] a+b+c WEB abc Ab Cd",
        ),
        (
            r#"[{{pad "x" 1 2}}] {{truncate .Id 4}} {{truncate "ab" 9}}"#,
            "[ x  ] 0123 ab",
        ),
        ("{{.Name | upper | printf \"%s-%s\" \"a\"}}", "a-WEB"),
        ("{{.List | len}} {{.Labels | json}}", r#"3 {"com.example":"v"}"#),
    ]);
}

#[test]
fn a_missing_key_is_an_error_only_where_go_has_a_struct() {
    check(&[
        (
            "{{.Foo}}",
            "ERROR template: :1:2: executing \"\" at <.Foo>: map has no entry for key \"Foo\"",
        ),
        (
            "{{.Deep.Foo}}",
            "ERROR template: :1:7: executing \"\" at <.Deep.Foo>: map has no entry for key \"Foo\"",
        ),
        ("{{.Labels.nope}}", "<no value>"),
        ("{{if .Health}}x{{else}}-{{end}}", "-"),
        ("{{.ID}}", "0123456789abcdef"),
        (
            "{{.Name.Foo}}",
            "ERROR template: :1:7: executing \"\" at <.Name.Foo>: can't evaluate field Foo in type string",
        ),
    ]);
    let rows = Template::parse("{{.Nope}}")
        .unwrap()
        .execute(&value(), MissingKey::Row("*formatter.X"));
    assert_eq!(
        rows.unwrap_err().to_string(),
        "template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *formatter.X"
    );
}

#[test]
fn what_is_no_template_is_refused_with_gos_words() {
    check(&[
        ("{{", "ERROR template: :1: unclosed action"),
        ("{{.Name", "ERROR template: :1: unclosed action"),
        ("{{end}}", "ERROR template: :1: unexpected {{end}}"),
        ("{{if .Yes}}", "ERROR template: :1: unexpected EOF"),
        (
            "{{nope .Name}}",
            "ERROR template: :1: function \"nope\" not defined",
        ),
        ("{{$x}}", "ERROR template: :1: undefined variable \"$x\""),
        ("{{}}", "ERROR template: :1: missing value for command"),
        ("{{.Name | }}", "ERROR template: :1: missing value for command"),
        ("{{(.Name}}", "ERROR template: :1: unclosed left paren"),
        ("{{\"abc}}", "ERROR template: :1: unterminated quoted string"),
        ("\n\n{{break}}", "ERROR template: :3: {{break}} outside {{range}}"),
        (
            "{{template \"x\"}}",
            "ERROR template: :1:11: executing \"\" at <{{template \"x\"}}>: template \"x\" not defined",
        ),
    ]);
}

#[test]
fn hostile_templates_end() {
    let deep = format!("{}1{}", "{{if 1}}".repeat(5000), "{{end}}".repeat(5000));
    assert!(run(&deep).starts_with("ERROR"));
    let parens = format!("{{{{{}1{}}}}}", "(".repeat(5000), ")".repeat(5000));
    assert!(run(&parens).starts_with("ERROR"));
    assert!(
        run("{{define \"t\"}}{{template \"t\" .}}{{end}}{{template \"t\" .}}")
            .contains("maximum template depth")
    );
    assert!(run("{{printf \"%999999999d\" 1}}").len() < 100_000);
    assert!(run("{{pad \"x\" 999999999999 0}}").len() < 2_000_000);
    for text in [
        "{{'",
        "{{\"\\x",
        "{{.é}}",
        "{{1.2.3}}",
        "{{-",
        "{{- -}}",
        "{{/*",
        "{{/* */ x}}",
        "{{.\u{0}}}",
        "é{{",
        "{{`",
    ] {
        run(text);
    }
}

#[test]
fn a_header_row_passes_through_functions() {
    let header = Value::map([
        ("ID", Value::from("CONTAINER ID")),
        ("Names", Value::from("NAMES")),
    ]);
    let template = Template::parse("{{lower .ID}}\t{{json .Names}}\t{{truncate .ID 3}}").unwrap();
    assert_eq!(
        template.execute(&header, MissingKey::Header).unwrap(),
        "CONTAINER ID\tNAMES\tCONTAINER ID"
    );
}
