# Varnish as it comes: hits need no rule of ours.
vcl 4.1;
backend origin {
    .host = "127.0.0.1";
    .port = "{{origin}}";
}
