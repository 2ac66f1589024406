package android.webkit;

import android.content.Context;
import android.view.ViewGroup;

public class WebView extends ViewGroup {
    public WebView(Context context) {}

    public native WebSettings getSettings();

    public native void setWebViewClient(WebViewClient client);

    public native void setWebChromeClient(WebChromeClient client);

    public native void loadUrl(String url);

    public native void onPause();

    public native void onResume();

    public native void destroy();
}
