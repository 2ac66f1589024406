package org.edgevsr.demo;

import android.content.res.AssetManager;
import android.net.Uri;
import android.webkit.WebResourceRequest;
import android.webkit.WebResourceResponse;
import android.webkit.WebView;
import android.webkit.WebViewClient;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;

/**
 * Answers every request out of the assets. The host is the one that Android reserves for that, so
 * the page has a secure address, and nothing ever reaches the network.
 */
final class AssetClient extends WebViewClient {
    private static final String HOST = "appassets.androidplatform.net";
    static final String START = "https://" + HOST + "/index.html";

    private static final Map<String, String> TYPES = new HashMap<>();

    static {
        TYPES.put("html", "text/html");
        TYPES.put("js", "text/javascript");
        TYPES.put("mjs", "text/javascript");
        TYPES.put("css", "text/css");
        TYPES.put("json", "application/json");
        TYPES.put("svg", "image/svg+xml");
        TYPES.put("txt", "text/plain");
        TYPES.put("wasm", "application/wasm");
        TYPES.put("mp4", "video/mp4");
    }

    private final AssetManager assets;

    AssetClient(AssetManager assets) {
        this.assets = assets;
    }

    static boolean isOurs(Uri uri) {
        return "https".equals(uri.getScheme()) && HOST.equals(uri.getHost());
    }

    @Override
    public WebResourceResponse shouldInterceptRequest(WebView view, WebResourceRequest request) {
        Uri uri = request.getUrl();
        if ("blob".equals(uri.getScheme()) || "data".equals(uri.getScheme())) {
            return null;
        }
        if (!isOurs(uri) || uri.getPath() == null) {
            return refused();
        }
        String path = uri.getPath().substring(1);
        String suffix = path.substring(path.lastIndexOf('.') + 1);
        String type = TYPES.containsKey(suffix) ? TYPES.get(suffix) : "application/octet-stream";
        String encoding = type.startsWith("text/") ? "utf-8" : null;
        Map<String, String> headers = new HashMap<>();
        headers.put("Cross-Origin-Opener-Policy", "same-origin");
        headers.put("Cross-Origin-Embedder-Policy", "require-corp");
        headers.put("Cross-Origin-Resource-Policy", "same-origin");
        try {
            return new WebResourceResponse(
                    type, encoding, 200, "OK", headers, assets.open("www/" + path));
        } catch (IOException missing) {
            return refused();
        }
    }

    @Override
    public boolean shouldOverrideUrlLoading(WebView view, WebResourceRequest request) {
        return !isOurs(request.getUrl());
    }

    private static WebResourceResponse refused() {
        return new WebResourceResponse(
                "text/plain",
                "utf-8",
                404,
                "Not Found",
                new HashMap<String, String>(),
                new ByteArrayInputStream(new byte[0]));
    }
}
