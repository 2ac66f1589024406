package android.webkit;

import android.net.Uri;
import android.view.View;

public class WebChromeClient {
    public native boolean onShowFileChooser(
            WebView view, ValueCallback<Uri[]> callback, FileChooserParams parameters);

    public native void onPermissionRequest(PermissionRequest request);

    public native void onShowCustomView(View view, CustomViewCallback callback);

    public native void onHideCustomView();

    public interface CustomViewCallback {
        void onCustomViewHidden();
    }

    public abstract static class FileChooserParams {
        public static final int MODE_OPEN_MULTIPLE = 1;

        public abstract int getMode();
    }
}
