package org.edgevsr.demo;

import android.Manifest;
import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.net.Uri;
import android.os.Bundle;
import android.view.View;
import android.view.ViewGroup;
import android.webkit.PermissionRequest;
import android.webkit.ValueCallback;
import android.webkit.WebChromeClient;
import android.webkit.WebSettings;
import android.webkit.WebView;
import android.widget.FrameLayout;
import android.widget.Toast;

/** Shows the demo's page, which lies in the assets, and lends it the camera and the file picker. */
public final class MainActivity extends Activity {
    private static final int PICK = 1;
    private static final int CAMERA = 2;

    private FrameLayout root;
    private WebView web;
    private ValueCallback<Uri[]> picked;
    private PermissionRequest asked;
    private View full;
    private WebChromeClient.CustomViewCallback leaveFull;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        root = new FrameLayout(this);
        root.setFitsSystemWindows(true); // from Android 15 on the window reaches behind the bars
        setContentView(root);
        try {
            web = new WebView(this);
        } catch (RuntimeException missing) { // while the system replaces its WebView
            Toast.makeText(this, R.string.no_webview, Toast.LENGTH_LONG).show();
            finish();
            return;
        }
        root.addView(web, fill());
        WebSettings settings = web.getSettings();
        settings.setJavaScriptEnabled(true);
        settings.setDomStorageEnabled(true);
        settings.setMediaPlaybackRequiresUserGesture(false);
        settings.setAllowFileAccess(false);
        settings.setAllowContentAccess(false);
        web.setWebViewClient(new AssetClient(getAssets()));
        web.setWebChromeClient(new Chrome());
        web.loadUrl(AssetClient.START);
    }

    @Override
    protected void onPause() {
        if (web != null) {
            web.onPause();
        }
        super.onPause();
    }

    @Override
    protected void onResume() {
        super.onResume();
        if (web != null) {
            web.onResume();
        }
    }

    @Override
    protected void onDestroy() {
        if (web != null) {
            root.removeAllViews();
            web.destroy();
        }
        super.onDestroy();
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        if (request == PICK && picked != null) {
            picked.onReceiveValue(urisOf(result, data));
            picked = null;
        }
    }

    @Override
    public void onRequestPermissionsResult(int request, String[] names, int[] results) {
        if (request == CAMERA && asked != null) {
            boolean granted =
                    results.length > 0 && results[0] == PackageManager.PERMISSION_GRANTED;
            answer(asked, granted);
            asked = null;
        }
    }

    private static Uri[] urisOf(int result, Intent data) {
        if (result != RESULT_OK || data == null) {
            return null;
        }
        if (data.getClipData() == null) {
            return data.getData() == null ? null : new Uri[] {data.getData()};
        }
        Uri[] uris = new Uri[data.getClipData().getItemCount()];
        for (int i = 0; i < uris.length; i++) {
            uris[i] = data.getClipData().getItemAt(i).getUri();
        }
        return uris;
    }

    private static void answer(PermissionRequest request, boolean granted) {
        if (granted) {
            request.grant(new String[] {PermissionRequest.RESOURCE_VIDEO_CAPTURE});
        } else {
            request.deny();
        }
    }

    private static FrameLayout.LayoutParams fill() {
        return new FrameLayout.LayoutParams(
                ViewGroup.LayoutParams.MATCH_PARENT, ViewGroup.LayoutParams.MATCH_PARENT);
    }

    private final class Chrome extends WebChromeClient {
        @Override
        public boolean onShowFileChooser(
                WebView view, ValueCallback<Uri[]> callback, FileChooserParams parameters) {
            if (picked != null) {
                picked.onReceiveValue(null);
            }
            picked = callback;
            // Not the page's own intent: Android knows no type for .onnx, and would hide them.
            Intent intent = new Intent(Intent.ACTION_GET_CONTENT);
            boolean several = parameters.getMode() == FileChooserParams.MODE_OPEN_MULTIPLE;
            intent.addCategory(Intent.CATEGORY_OPENABLE);
            intent.setType(several ? "*/*" : "video/*");
            intent.putExtra(Intent.EXTRA_ALLOW_MULTIPLE, several);
            try {
                startActivityForResult(intent, PICK);
            } catch (ActivityNotFoundException none) {
                picked.onReceiveValue(null);
                picked = null;
            }
            return true;
        }

        @Override
        public void onPermissionRequest(PermissionRequest request) {
            boolean camera = false;
            for (String resource : request.getResources()) {
                camera |= PermissionRequest.RESOURCE_VIDEO_CAPTURE.equals(resource);
            }
            if (!camera || !AssetClient.isOurs(request.getOrigin())) {
                request.deny();
            } else if (checkSelfPermission(Manifest.permission.CAMERA)
                    == PackageManager.PERMISSION_GRANTED) {
                answer(request, true);
            } else {
                asked = request;
                requestPermissions(new String[] {Manifest.permission.CAMERA}, CAMERA);
            }
        }

        @Override
        public void onShowCustomView(View view, CustomViewCallback callback) {
            full = view;
            leaveFull = callback;
            root.addView(full, fill());
            root.setSystemUiVisibility(
                    View.SYSTEM_UI_FLAG_FULLSCREEN
                            | View.SYSTEM_UI_FLAG_HIDE_NAVIGATION
                            | View.SYSTEM_UI_FLAG_IMMERSIVE_STICKY);
        }

        @Override
        public void onHideCustomView() {
            if (full != null) {
                root.removeView(full);
                root.setSystemUiVisibility(View.SYSTEM_UI_FLAG_VISIBLE);
                leaveFull.onCustomViewHidden();
                full = null;
            }
        }
    }
}
