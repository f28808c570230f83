//! What users write on command lines.

/// The first line is a template, the rest a JSON document.
pub(crate) fn format(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (template, document) = text.split_once('\n').unwrap_or((text, "{}"));
    let printed = commands::format(template, document.as_bytes());
    if let Ok(text) = &printed {
        assert!(text.len() <= 65 << 20, "bounded");
        if !template.contains("{{") {
            assert_eq!(text, template, "nothing to execute");
        }
    }
    // A second time, unless it was the budget of steps that ended the first.
    if text.len() < 200 {
        assert_eq!(
            commands::format(template, document.as_bytes()),
            printed,
            "deterministic"
        );
    }
}

/// One word of `dhow create` per line; the image is added.
pub(crate) fn flags(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    // These read files of the machine.
    if ["file", "seccomp", "--e", "--l"]
        .iter()
        .any(|flag| text.contains(flag))
    {
        return;
    }
    let words: Vec<String> = text
        .split('\n')
        .map(str::to_owned)
        .chain(["image".to_owned()])
        .collect();
    match commands::create_request(&words) {
        Ok(request) => {
            let body = serde_json::to_string(&request).expect("a body");
            let again = api_types::container::CreateRequest::from_slice(body.as_bytes())
                .expect("a body that the API can read");
            assert_eq!(again, request);
            assert!(body.len() <= 16 << 20, "{} bytes", body.len());
        }
        Err(message) => assert!(!message.is_empty()),
    }
}
