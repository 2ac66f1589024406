package android.app;

import android.content.Context;
import android.content.Intent;
import android.os.Bundle;
import android.view.View;

public class Activity extends Context {
    public static final int RESULT_OK = -1;

    protected native void onCreate(Bundle state);

    protected native void onPause();

    protected native void onResume();

    protected native void onDestroy();

    protected native void onActivityResult(int request, int result, Intent data);

    public native void onRequestPermissionsResult(int request, String[] names, int[] results);

    public native void setContentView(View view);

    public native void finish();

    public native void startActivityForResult(Intent intent, int request);

    public final native void requestPermissions(String[] names, int request);
}
